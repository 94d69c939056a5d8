// zvm: posts jobs and tells how they went; examines a machine. It has no right that its caller
// lacks.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "cli/doctor.h"
#include "cli/job_answer.h"
#include "cli/run.h"

namespace {

using namespace zvm::cli;

constexpr char kRunFooter[] =
    "Exit code: the program's own; else 120 wrong usage, 121 no answer, 122 refused before it "
    "ran,\n"
    "123 the service failed, 124 out of time, 125 ended by another limit or cancelled, 128+N "
    "killed\n"
    "by signal N.";

void add_run(CLI::App& app, RunOptions* o) {
  CLI::App* run = app.add_subcommand("run", "Post a job and stream its output");
  run->add_option(
         "file", o->file, "A JSON job, or a script that begins with #!; - is standard input")
      ->required();
  run->add_option("--url", o->url, "Storage URL: http://host:port/v1/account")
      ->envname("OS_STORAGE_URL");
  run->add_option("--token", o->token, "Auth token; better in the environment, where ps shows none")
      ->envname("OS_AUTH_TOKEN");
  run->add_option("-A,--auth", o->auth, "Auth v1 URL, used when there is no token")
      ->envname("ST_AUTH");
  run->add_option("-U,--user", o->user, "Auth v1 user: account:user")->envname("ST_USER");
  run->add_option("-K,--key", o->key, "Auth v1 key")->envname("ST_KEY");
  run->add_option("--unix-socket", o->unix_socket, "Connect to the bridge there");
  run->add_option("--object", o->object, "container/object that a script reads as its stdin");
  run->add_option("--content-type", o->content_type, "Instead of what the file's first bytes say");
  run->add_option("--timeout", o->timeout, "Cancel the job after so many seconds")
      ->check(CLI::Range(0.001, 1e7));
  run->add_flag("--report", o->report, "Print the whole JSON report to standard error");
  run->add_flag("-q,--quiet", o->quiet, "Print nothing but the output");
  run->footer(kRunFooter);
}

struct DoctorOptions {
  std::vector<std::string> dirs;
  bool json = false;
};

void add_doctor(CLI::App& app, DoctorOptions* o) {
  CLI::App* doctor = app.add_subcommand("doctor", "Try what a storage node needs of this kernel");
  doctor->add_option("--dir", o->dirs, "Try reflinks in this folder, a Swift device's; repeatable")
      ->check(CLI::ExistingDirectory);
  doctor->add_flag("--json", o->json, "Print a JSON list");
  doctor->footer(
      "Exit code: 0 when a host daemon can run here, maybe weaker; 1 when something is missing.");
}

int examine_machine(const DoctorOptions& o) {
  const auto findings = examine(o.dirs);
  const std::string text = o.json ? findings_json(findings) : findings_text(findings);
  std::fputs(text.c_str(), stdout);
  return std::fflush(stdout) == 0 ? findings_exit(findings) : 1;
}

int run_program(int argc, char** argv) {
  CLI::App app("Run jobs inside OpenStack Swift", "zvm");
  app.set_version_flag("--version", "zvm " ZVM_VERSION);
  app.require_subcommand(1);
  RunOptions run_options;
  DoctorOptions doctor_options;
  add_run(app, &run_options);
  add_doctor(app, &doctor_options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kExitUsage;
  }
  if (app.got_subcommand("doctor")) return examine_machine(doctor_options);
  return run(run_options);
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that goes away is an error of the write, which ends the job; no reason to die
  // silently.
  std::signal(SIGPIPE, SIG_IGN);
  return run_program(argc, argv);
}
