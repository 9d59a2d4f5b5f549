/* SPDX-License-Identifier: Apache-2.0 */
/* ctr, the command line. Everything is in ctr.c and the files of its verbs, where tests reach it. */
#include "ctr/ctr.h"

#include <unistd.h>

#include "ctr/terminal.h"

int
main(int argc, char **argv)
{
	int status = ctr_main(argc, argv);

	terminal_restore();
	_exit(status); /* stdout is flushed, stderr is not buffered */
}
