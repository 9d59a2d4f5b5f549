/* SPDX-License-Identifier: Apache-2.0 */
/*
 * point - fault points of the shim (lib/base/fault.h), under a name of their own: the death of a worker is
 * nobody's loss, that of a shim is its container's, so tests that kill at every FAULT_POINT and
 * expect life to go on must not find these. test_shim goes through them.
 */
#ifndef CF_SHIM_POINT_H
#define CF_SHIM_POINT_H

#include "lib/base/fault.h"

#define SHIM_POINT(what) FAULT_POINT("shim." what)

#endif
