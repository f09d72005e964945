// Ctrl-C: the first asks the work to stop after the current step, the second ends the process at
// once with exit code 130 and without a partial file.
#pragma once

namespace gesso {

void CatchInterrupts();  // SIGINT and SIGTERM
bool Interrupted();

}  // namespace gesso
