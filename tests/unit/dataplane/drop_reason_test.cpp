// SPDX-License-Identifier: Apache-2.0
#include "sallyport/abi/drop_reason.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "dataplane/dataplane.h"

namespace sallyport::dataplane {
namespace {

TEST(DropReason, each_has_a_label_and_a_text_of_its_own) {
    std::set<std::string> labels;
    std::set<std::string> texts;
    std::size_t count = 0;
#define REASON(number, NAME, label, text)              \
    ++count;                                           \
    EXPECT_EQ(drop_reason_label(DROP_##NAME), #label); \
    EXPECT_LT(number, DROP_REASONS_MAX);               \
    labels.emplace(drop_reason_label(DROP_##NAME));    \
    texts.emplace(drop_reason_text(DROP_##NAME));
    FOREACH_DROP_REASON(REASON)
#undef REASON
    EXPECT_EQ(labels.size(), count);
    EXPECT_EQ(texts.size(), count);
}

TEST(DropReason, numbers_without_a_meaning_have_no_label) {
    EXPECT_EQ(drop_reason_label(0), "");
    EXPECT_EQ(drop_reason_text(DROP_REASONS_MAX), "");
}

}  // namespace
}  // namespace sallyport::dataplane
