/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify - tells a service manager how far we are (the sd_notify protocol, without its library).
 */
#ifndef CF_SUPERVISOR_NOTIFY_H
#define CF_SUPERVISOR_NOTIFY_H

#include "lib/base/err.h"

/* Remembers $NOTIFY_SOCKET and takes it out of the environment: no child may speak for us. */
void notify_init(void);

/* Sends lines such as "READY=1\nMAINPID=7". Success without a manager; a lost message is an error to
 * log, never a reason to stop. */
int notify_send(const char *lines, struct err *e);

#endif
