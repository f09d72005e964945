# Optional parts are found or left out; the summary says which, and how to get them. GESSO_<PART>:
# auto takes the part if its libraries are there, ON fails without them, OFF does not look.

# gesso_optional_part(PART what FOUND found DETAIL text [BUILDS text])
# Adds the part's line to the summary. Packages come from packages.txt, group <part>; BUILDS says
# what is built from them.
function(gesso_optional_part part what)
  cmake_parse_arguments(arg "" "FOUND;DETAIL;BUILDS" "" ${ARGN})
  set(mode "${GESSO_${part}}")
  if(NOT mode MATCHES "^(auto|ON|OFF)$")
    message(FATAL_ERROR "GESSO_${part} is '${mode}'; it takes auto, ON or OFF")
  endif()
  string(TOLOWER ${part} group)
  file(STRINGS ${CMAKE_SOURCE_DIR}/packages.txt lines REGEX "^${group} ")
  list(TRANSFORM lines REPLACE "^${group} +([^ ]+).*" "\\1" OUTPUT_VARIABLE packages)
  string(JOIN " " packages ${packages})
  if(mode STREQUAL "OFF")
    set(state "not looked for (GESSO_${part}=OFF)")
  elseif(arg_FOUND)
    if(NOT arg_BUILDS)
      set(arg_BUILDS "nothing is built from it yet")
    endif()
    set(state "found (${arg_DETAIL}); ${arg_BUILDS}")
  elseif(mode STREQUAL "ON")
    message(FATAL_ERROR "GESSO_${part}=ON, but ${what} was not found; packages: ${packages}")
  else()
    set(state "not found; to get it: apt install ${packages}")
  endif()
  set(summary "${summary}\n     ${part} (${what}): ${state}" PARENT_SCOPE)
endfunction()

set(GESSO_HAS_CUDA FALSE)
if(NOT GESSO_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 12 QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE)
    set(GESSO_HAS_CUDA TRUE)
  endif()
endif()
gesso_optional_part(CUDA "nvcc 12 or newer" FOUND ${GESSO_HAS_CUDA} DETAIL "${CUDAToolkit_VERSION}"
                    BUILDS "builds --device cuda")
if(GESSO_HAS_CUDA)
  # Every GPU since Ampere, and Hopper's own instructions.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90a-real)
  endif()
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")  # CMake 3.25 does not know it
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
endif()

# Only its headers: the library is looked for when the program runs.
set(GESSO_HAS_CUDNN FALSE)
if(GESSO_HAS_CUDA AND NOT GESSO_CUDNN STREQUAL "OFF")
  find_path(CUDNN_INCLUDE_DIR cudnn_version.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(CUDNN_INCLUDE_DIR)
    file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "#define CUDNN_(MAJOR|MINOR) ")
    string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*" "\\1.\\2" CUDNN_VERSION "${lines}")
    if(CUDNN_VERSION VERSION_GREATER_EQUAL 9 AND CUDNN_VERSION VERSION_LESS 10)
      set(GESSO_HAS_CUDNN TRUE)
    endif()
  endif()
endif()
gesso_optional_part(CUDNN "cuDNN 9, beside CUDA" FOUND ${GESSO_HAS_CUDNN} DETAIL "${CUDNN_VERSION}"
                    BUILDS "builds convolutions by cuDNN")

set(has_gui FALSE)
if(NOT GESSO_GUI STREQUAL "OFF")
  find_package(glfw3 QUIET)
  set(OpenGL_GL_PREFERENCE GLVND)
  find_package(OpenGL QUIET)
  pkg_check_modules(imgui QUIET IMPORTED_TARGET imgui)
  pkg_check_modules(freetype QUIET IMPORTED_TARGET freetype2)
  pkg_check_modules(lz4 QUIET IMPORTED_TARGET liblz4)
  if(glfw3_FOUND AND OpenGL_FOUND AND imgui_FOUND AND freetype_FOUND AND lz4_FOUND)
    set(has_gui TRUE)
  endif()
endif()
set(GESSO_HAS_GUI ${has_gui} CACHE INTERNAL "Whether gesso gui is built; the launcher reads it")
gesso_optional_part(GUI "GLFW, Dear ImGui, OpenGL, FreeType, LZ4" FOUND ${GESSO_HAS_GUI}
                    DETAIL "GLFW ${glfw3_VERSION}, Dear ImGui ${imgui_VERSION}"
                    BUILDS "builds gesso gui")

set(GESSO_HAS_VIDEO FALSE)
if(NOT GESSO_VIDEO STREQUAL "OFF")
  pkg_check_modules(ffmpeg QUIET IMPORTED_TARGET libavformat libavcodec libavfilter libavutil
                    libswscale)
  set(GESSO_HAS_VIDEO ${ffmpeg_FOUND})
endif()
gesso_optional_part(VIDEO "FFmpeg's libraries" FOUND ${GESSO_HAS_VIDEO}
                    DETAIL "libavcodec ${ffmpeg_libavcodec_VERSION}"
                    BUILDS "builds MP4, WebM, Matroska and GIF clips")

set(GESSO_HAS_WEBP FALSE)
if(NOT GESSO_WEBP STREQUAL "OFF")
  pkg_check_modules(webp QUIET IMPORTED_TARGET libwebp libwebpmux)
  set(GESSO_HAS_WEBP ${webp_FOUND})
endif()
gesso_optional_part(WEBP "libwebp" FOUND ${GESSO_HAS_WEBP} DETAIL "${webp_libwebp_VERSION}"
                    BUILDS "reads and writes WebP pictures")

set(mpi_found FALSE)
if(NOT GESSO_MPI STREQUAL "OFF")
  find_package(MPI QUIET COMPONENTS CXX)
  set(mpi_found ${MPI_FOUND})
endif()
gesso_optional_part(MPI "MPI" FOUND ${mpi_found} DETAIL "${MPI_CXX_VERSION}")

message(STATUS "Optional parts:${summary}")
