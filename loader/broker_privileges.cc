#include "loader/broker_privileges.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>

namespace zvm::loader {

namespace {

constexpr cap_value_t kKept[] = {
    CAP_SYS_ADMIN,  // mounts of FUSE and tmpfs, passthrough registration; the launcher: namespaces,
                    // root
    CAP_SETUID,     // the launcher takes each jail's uid before it makes the user namespace
    CAP_SETGID,     // likewise; and it drops the supplementary groups
    CAP_KILL,       // jails run with other uids
    CAP_SETPCAP,    // the launcher empties its bounding set
    CAP_SYS_CHROOT,  // the launcher's root becomes its namespace's: no user namespace is made in a
                     // chroot
};

}  // namespace

Status keep_few_capabilities() {
  const std::unique_ptr<_cap_struct, int (*)(void*)> now(cap_get_proc(), cap_free);
  if (!now) return fail_errno("cap_get_proc", errno);
  for (const cap_value_t c : kKept) {
    cap_flag_value_t has = CAP_CLEAR;
    if (cap_get_flag(now.get(), c, CAP_PERMITTED, &has) < 0 || has != CAP_SET) {
      const std::unique_ptr<char, int (*)(void*)> name(cap_to_name(c), cap_free);
      return fail(Origin::kHost, Kind::kDenied, std::string("capability missing: ") + name.get());
    }
  }
  for (cap_value_t c = 0; cap_get_bound(c) >= 0; ++c) {
    if (std::find(std::begin(kKept), std::end(kKept), c) != std::end(kKept)) continue;
    if (cap_drop_bound(c) < 0) return fail_errno("dropping from the bounding set", errno);
  }
  const std::unique_ptr<_cap_struct, int (*)(void*)> kept(cap_init(), cap_free);
  if (!kept) return fail_errno("cap_init", errno);
  const int count = static_cast<int>(std::size(kKept));
  if (cap_set_flag(kept.get(), CAP_PERMITTED, count, kKept, CAP_SET) < 0 ||
      cap_set_flag(kept.get(), CAP_EFFECTIVE, count, kKept, CAP_SET) < 0 ||
      cap_set_proc(kept.get()) < 0) {
    return fail_errno("cap_set_proc", errno);
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno("PR_SET_NO_NEW_PRIVS", errno);
  return {};
}

}  // namespace zvm::loader
