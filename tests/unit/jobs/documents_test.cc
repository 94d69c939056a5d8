// What the documents tell readers to type is accepted.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The here-documents of that name in a page: what stands between <<'NAME' and NAME.
std::vector<std::string> here_documents(const std::string& page, const std::string& name) {
  std::vector<std::string> out;
  const std::string begin = "<<'" + name + "'\n", end = "\n" + name + "\n";
  for (size_t at = page.find(begin); at != page.npos; at = page.find(begin, at)) {
    at += begin.size();
    out.push_back(page.substr(at, page.find(end, at) + 1 - at));
  }
  return out;
}

TEST(Documents, ExamplesAreJobs) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(ZVM_SOURCE "/examples")) {
    if (entry.path().extension() != ".json") continue;
    const auto job = parse_job_json(contents(entry.path()), "AUTH_test", {});
    EXPECT_TRUE(job) << entry.path() << ": " << (job ? "" : job.error().detail);
    ++count;
  }
  EXPECT_GT(count, 0u);
}

TEST(Documents, TheApiPagesJobsAndScriptsAreAccepted) {
  const std::string page = contents(ZVM_SOURCE "/docs/api.md");
  const auto jobs = here_documents(page, "JSON"), scripts = here_documents(page, "PY");
  ASSERT_FALSE(jobs.empty());
  ASSERT_FALSE(scripts.empty());
  for (const std::string& text : jobs) {
    const auto job = parse_job_json(text, "AUTH_test", {});
    EXPECT_TRUE(job) << text << (job ? "" : job.error().detail);
  }
  for (const std::string& text : scripts) {
    const auto job = parse_script(text, {"AUTH_test", "texts", "GPL-3"}, {});
    EXPECT_TRUE(job) << text << (job ? "" : job.error().detail);
  }
}

}  // namespace

}  // namespace zvm::bridge
