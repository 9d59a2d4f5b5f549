/* SPDX-License-Identifier: Apache-2.0 */
/* ctr, the command line. Everything is in ctr.c and the files of its verbs, where tests reach it. */
#include "ctr/ctr.h"

int
main(int argc, char **argv)
{
	return ctr_main(argc, argv);
}
