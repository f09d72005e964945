// The way into the library that holds everything in this folder.
#include "pipelines/media/video_module.h"

#include "pipelines/media/ffmpeg/clip_text.h"
#include "pipelines/media/ffmpeg/codecs.h"
#include "pipelines/media/ffmpeg/gif.h"
#include "pipelines/media/ffmpeg/muxer.h"
#include "pipelines/media/ffmpeg/video.h"

extern "C" const gesso::VideoModule* GessoVideoModule() {
  namespace ffmpeg = gesso::ffmpeg;
  static constexpr gesso::VideoModule kModule = {ffmpeg::CheckVideo, ffmpeg::OpenVideo,
                                                 ffmpeg::OpenGif, ffmpeg::ReadComment,
                                                 ffmpeg::PresentCodecs};
  ffmpeg::KeepMessages();
  return &kModule;
}
