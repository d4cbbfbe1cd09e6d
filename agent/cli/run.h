// SPDX-License-Identifier: Apache-2.0
//
// What each command does. The table in command.cpp names them.
#pragma once

#include "cli/command.h"

namespace sallyport::cli {

ExitCode run_status(Session& session);
ExitCode run_ready(Session& session);
ExitCode run_check(Session& session);
ExitCode run_plan(Session& session);
ExitCode run_apply(Session& session);
ExitCode run_confirm(Session& session);
ExitCode run_rollback(Session& session);
ExitCode run_reload(Session& session);
ExitCode run_get(Session& session);
ExitCode run_watch(Session& session);
ExitCode run_create(Session& session);
ExitCode run_set(Session& session);
ExitCode run_replace(Session& session);
ExitCode run_delete(Session& session);
ExitCode run_eip(Session& session);
ExitCode run_drain(Session& session);
ExitCode run_flows(Session& session);
ExitCode run_who(Session& session);
ExitCode run_explain(Session& session);
ExitCode run_monitor(Session& session);
ExitCode run_capture(Session& session);
ExitCode run_detach(Session& session);
ExitCode run_doctor(Session& session);
ExitCode run_history(Session& session);
ExitCode run_version(Session& session);

}  // namespace sallyport::cli
