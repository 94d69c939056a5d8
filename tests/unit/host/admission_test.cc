#include "host/admission.h"

#include <gtest/gtest.h>

namespace zvm::host {

namespace {

TEST(Admission, RefusesMoreThanItsSlots) {
  Admission admission(2);
  auto a = admission.take();
  auto b = admission.take();
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(admission.take());
  EXPECT_EQ(admission.in_use(), 2u);
}

TEST(Admission, GivesASlotAgainWhenItIsReleased) {
  Admission admission(1);
  {
    auto slot = admission.take();
    ASSERT_TRUE(slot);
    auto moved = std::move(*slot);
    EXPECT_EQ(admission.in_use(), 1u);
  }
  EXPECT_EQ(admission.in_use(), 0u);
  EXPECT_TRUE(admission.take());
}

}  // namespace

}  // namespace zvm::host
