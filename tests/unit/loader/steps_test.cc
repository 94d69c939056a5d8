// The order of a jail's steps is a security property: moving one must fail here first.
#include "loader/steps.h"

#include <gtest/gtest.h>

#include <string_view>

#include "loader/world.h"

// The table is read, never run: the steps themselves belong to the loader alone.
namespace zvm::loader::steps {
#define ZVM_NEVER(name)          \
  int name(JailPlan&) noexcept { \
    return 0;                    \
  }
ZVM_NEVER(map_identity)
ZVM_NEVER(take_identity)
ZVM_NEVER(mount_channels)
ZVM_NEVER(mount_devices)
ZVM_NEVER(mount_tmp)
ZVM_NEVER(forbid_gains)
ZVM_NEVER(drop_capabilities)
ZVM_NEVER(hide_from_debuggers)
ZVM_NEVER(die_with_launcher)
ZVM_NEVER(close_inherited_fds)
ZVM_NEVER(read_args)
ZVM_NEVER(start_session)
ZVM_NEVER(open_stdio)
ZVM_NEVER(keep_stdio_only)
ZVM_NEVER(set_limits)
ZVM_NEVER(install_seccomp)
ZVM_NEVER(execute)
}  // namespace zvm::loader::steps

namespace zvm::loader {
namespace {

size_t at(std::string_view name) {
  for (size_t i = 0; i < kStepCount; ++i) {
    if (name == kSteps[i].name) return i;
  }
  ADD_FAILURE() << "no step " << name;
  return kStepCount;
}

TEST(JailOrder, NamesInReportsAreTheTables) {
  for (size_t i = 0; i < kStepCount; ++i)
    EXPECT_STREQ(kSteps[i].name, step_name(static_cast<uint16_t>(i)));
  EXPECT_STREQ(step_name(kStepCount), "unknown");
}

TEST(JailOrder, SeccompIsInstalledLastBeforeTheProgram) {
  EXPECT_EQ(at("execute"), kStepCount - 1);
  EXPECT_EQ(at("install-seccomp"), kStepCount - 2);
}

TEST(JailOrder, IdentityComesBeforeEverything) {
  EXPECT_EQ(at("map-identity"), 0u);
  EXPECT_EQ(at("take-identity"), 1u);
}

TEST(JailOrder, CapabilitiesGoAfterTheLastMountAndBeforeTheProgramsProcess) {
  for (const char* mount : {"mount-channels", "mount-devices", "mount-tmp"})
    EXPECT_LT(at(mount), at("drop-capabilities"));
  EXPECT_LT(at("forbid-gains"), at("drop-capabilities"));
  EXPECT_EQ(kSteps[at("drop-capabilities")].where, Where::kInit);
}

TEST(JailOrder, WhatAnIdentityChangeUndoesComesAfterIt) {
  EXPECT_LT(at("drop-capabilities"), at("hide-from-debuggers"));
  EXPECT_LT(at("drop-capabilities"), at("die-with-launcher"));
}

TEST(JailOrder, InheritedDescriptorsAreClosedBeforeTheProgramsProcess) {
  EXPECT_EQ(kSteps[at("close-inherited-fds")].where, Where::kInit);
  EXPECT_LT(at("open-stdio"), at("keep-stdio-only"));
}

TEST(JailOrder, InitsStepsComeBeforeTheProgramsOnes) {
  bool program = false;
  for (const auto& s : kSteps) {
    program = program || s.where == Where::kProgram;
    EXPECT_EQ(s.where, program ? Where::kProgram : Where::kInit) << s.name;
  }
}

}  // namespace
}  // namespace zvm::loader
