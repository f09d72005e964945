// Ctrl-C: the first asks the work to stop after the current step, the second ends the process at
// once with exit code 130 and without a partial file (of folders a .part stays); so does the first
// where the process waits for others (models/io/waiting.h).
#pragma once

namespace gesso {

void CatchInterrupts();  // SIGINT, SIGTERM and, unless it is ignored (nohup), SIGHUP
bool Interrupted();

}  // namespace gesso
