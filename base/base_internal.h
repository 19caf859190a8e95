// What the files of base/ share below base.h: the limits of control groups.

#ifndef NS_BASE_BASE_INTERNAL_H
#define NS_BASE_BASE_INTERNAL_H

#include "base/base.h"

/// How much of something the control group in `folder` leaves; UINT64_MAX for no limit. The files
/// there are those of cgroups version 1 or 2.
typedef uint64_t (*ns__cgroup_fn)(const char *folder, int version);

/// The least of `left` over the control groups of this process for `controller` ("memory", "cpu")
/// and all groups above them: each of them limits it.
uint64_t ns__cgroup_least(const char *controller, ns__cgroup_fn left);

/// Cores' worth of time that a "cpu" group grants, rounded up; an ns__cgroup_fn.
uint64_t ns__cgroup_cpu_count(const char *folder, int version);

#endif
