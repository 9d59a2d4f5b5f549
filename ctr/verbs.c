/* SPDX-License-Identifier: Apache-2.0 */
/* verbs - the table of commands. --help, ctr.1 and the completion are made from it. */
#include <string.h>

#include "ctr/create.h"
#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/registry.h"
#include "ctr/walk.h"

#define MANY UINT_MAX

#define EXITS_EACH                                                                          \
	"0 when all of it was done; 1 when something was not (each failure is one line on " \
	"stderr), 2 when the command line or a name is wrong."
#define EXITS_PROCESS                                                                          \
	"The exit status of the process: 128 + N when signal N ended it. 125 when it did not " \
	"come to running, 126 when the command cannot be executed, 127 when there is no such " \
	"command, 130 when interrupted before, 2 when the command line is wrong."
#define TEXT_FILTERS                                                                             \
	"\n\nFilters are those of containerd: FIELD==VALUE, FIELD!=VALUE, FIELD~=PATTERN (a "    \
	"regular expression), or FIELD alone (it is there); several with commas must all hold, " \
	"of "                                                                                    \
	"several words one. Fields are those that --format json shows; a label is "              \
	"labels.KEY or labels.\"KEY\"."
#define TEXT_FOREGROUND                                                                          \
	"Signals (INT, TERM, HUP, QUIT, USR1, USR2) are passed on to it; the third INT or TERM " \
	"kills it. With a terminal the keys are passed on instead, and the size of the window; " \
	"ctrl-p ctrl-q leaves it running and returns."

/* --- options -------------------------------------------------------------------------------------- */

static const struct opt pull_opts[] = {
	{ "quiet", 'q', OPT_FLAG, NULL, "Print only the name of the image when it is there.",
	    NULL },
	{ "format", 0, OPT_TEXT, "FORMAT",
	    "table (the default) or json: an object a line for all that goes on, the image last.",
	    NULL },
	{ "platform", 0, OPT_LIST, "OS/ARCH",
	    "Platform to choose from an index: linux/amd64, linux/arm/v7; several if it is given "
	    "several times. Default: the host's.",
	    NULL },
	{ "all-platforms", 0, OPT_FLAG, NULL,
	    "All that the index has; what is for the host is unpacked.", NULL },
	{ "verify-only", 0, OPT_FLAG, NULL,
	    "Download nothing: ask the registry what the name means, and say whether all of that "
	    "is here and whole.",
	    NULL },
	{ "no-unpack", 0, OPT_FLAG, NULL, "Download only; layers are unpacked when first needed.",
	    NULL },
	{ "max-downloads", 0, OPT_TEXT, "N", "Most blobs to download at a time.",
	    "max-concurrent-downloads" },
	{ "label", 0, OPT_LIST, "KEY=VALUE", "Put a label on the image.", NULL },
	{ .name = NULL },
};

static const struct opt snapshotter_opts[] = {
	{ "snapshotter", 0, OPT_TEXT, "NAME",
	    "How layers and roots are laid out: see ctr plugins list. Default: the daemon's "
	    "choice.",
	    NULL },
	{ .name = NULL },
};

static const struct opt commit_opts[] = {
	{ "author", 'a', OPT_TEXT, "NAME", "Who made it: Name <mail@example.org>.", NULL },
	{ "message", 'm', OPT_TEXT, "TEXT", "What was done, for the image's history.", NULL },
	{ "change", 'c', OPT_LIST, "LINE",
	    "Change its config by a line of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, "
	    "STOPSIGNAL, USER, VOLUME, WORKDIR.",
	    NULL },
	{ "pause", 'p', OPT_FLAG, NULL,
	    "Pause the container while it is read (the default; --pause=false does not).", NULL },
	{ "compression", 0, OPT_TEXT, "HOW", "Of the layer: gzip (the default), zstd or none.",
	    NULL },
	{ "format", 0, OPT_TEXT, "FORMAT", "table (the default) or json: the image, whole.", NULL },
	{ .name = NULL },
};

static const struct opt usage_opts[] = {
	{ "bytes", 'b', OPT_FLAG, NULL, "Sizes in bytes.", NULL },
	{ "format", 0, OPT_TEXT, "FORMAT", "table (the default) or json: an array.", NULL },
	{ .name = NULL },
};

static const struct opt prepare_opts[] = {
	{ "target", 't', OPT_TEXT, "FOLDER", "Print the commands that mount it there.", NULL },
	{ "mounts", 0, OPT_FLAG, NULL, "Print its mounts as JSON.", NULL },
	{ .name = NULL },
};

static const struct opt diff_opts[] = {
	{ "media-type", 0, OPT_TEXT, "TYPE",
	    "Of the layer: application/vnd.oci.image.layer.v1.tar, +gzip (the default) or +zstd, "
	    "or "
	    "application/vnd.docker.image.rootfs.diff.tar or .tar.gzip.",
	    NULL },
	{ "ref", 0, OPT_TEXT, "REF", "Name of the blob on its way. Default: made up.", NULL },
	{ "keep", 0, OPT_FLAG, NULL, "Keep the blob in the content store.", NULL },
	{ "label", 0, OPT_LIST, "KEY=VALUE", "Put a label on the blob.", NULL },
	{ .name = NULL },
};

static const struct opt push_opts[] = {
	{ "quiet", 'q', OPT_FLAG, NULL, "Print only the name when it is there.", NULL },
	{ "format", 0, OPT_TEXT, "FORMAT",
	    "table (the default) or json: an object a line for all that goes on, the result last.",
	    NULL },
	{ "platform", 0, OPT_TEXT, "OS/ARCH",
	    "Push the manifest for this platform alone; the name stands for it then.", NULL },
	{ "all-platforms", 0, OPT_FLAG, NULL, "Push all that the image names: what is done anyway.",
	    NULL },
	{ "max-uploads", 0, OPT_TEXT, "N", "Most blobs to send at a time.",
	    "max-concurrent-uploads|max-concurrent-uploaded-layers" },
	{ "chunk-size", 0, OPT_TEXT, "SIZE",
	    "Send larger blobs in requests of so many bytes. Default: in one, or in as many as "
	    "the registry takes.",
	    NULL },
	{ .name = NULL },
};

static const struct opt platform_opts[] = {
	{ "platform", 0, OPT_TEXT, "OS/ARCH", "Platform to show. Default: the host's.", NULL },
	{ .name = NULL },
};

static const struct opt get_opts[] = {
	{ "offset", 0, OPT_TEXT, "BYTES", "Start here: 4096, 64k, 1m.", NULL },
	{ "size", 0, OPT_TEXT, "BYTES", "At most so many bytes.", NULL },
	{ "output", 'o', OPT_TEXT, "FILE", "Write to this file instead of stdout.", NULL },
	{ .name = NULL },
};

static const struct opt ingest_opts[] = {
	{ "expected-digest", 0, OPT_TEXT, "DIGEST", "What it must be.", NULL },
	{ "expected-size", 0, OPT_TEXT, "BYTES", "How long it must be.", NULL },
	{ "label", 0, OPT_LIST, "KEY=VALUE", "Put a label on the blob.", NULL },
	{ "lease", 0, OPT_TEXT, "LEASE", "Let this lease hold it.", NULL },
	{ .name = NULL },
};

static const struct opt edit_opts[] = {
	{ "editor", 0, OPT_TEXT, "COMMAND", "Editor instead of $VISUAL or $EDITOR.", NULL },
	{ .name = NULL },
};

static const struct opt lease_opts[] = {
	{ "id", 0, OPT_TEXT, "NAME", "Its name. Default: made up.", NULL },
	{ "expires", 'x', OPT_TEXT, "TIME",
	    "It ends by itself after so long: 24h, 30m; 0 = never. Default: 24h.", NULL },
	{ "flat", 0, OPT_FLAG, NULL, "Hold what is named, not what that refers to.", NULL },
	{ .name = NULL },
};

static const struct opt lease_delete_opts[] = {
	{ "sync", 0, OPT_FLAG, NULL, "Return when what it alone held is gone.", NULL },
	{ .name = NULL },
};

static const struct opt namespace_remove_opts[] = {
	{ "force", 'f', OPT_FLAG, NULL, "With what is in them.", NULL },
	{ .name = NULL },
};

static const struct opt remove_opts[] = {
	{ "force", 'f', OPT_FLAG, NULL, "Also when a container was made from it.", NULL },
	{ "async", 0, OPT_FLAG, NULL,
	    "Return at once: what nothing else needs goes soon, not before.", NULL },
	{ "sync", 0, OPT_FLAG, NULL, "Return when it is gone: what is done anyway.", NULL },
	{ .name = NULL },
};

static const struct opt import_opts[] = {
	{ "base-name", 0, OPT_TEXT, "NAME",
	    "Repository for images that the archive names by a tag only, or not at all; and of "
	    "images "
	    "with a full name only those in it. Default: import-DATE, and all of them.",
	    NULL },
	{ "index-name", 0, OPT_TEXT, "NAME", "Give this name to the archive as a whole.", NULL },
	{ "digests", 0, OPT_FLAG, NULL, "Name each image by its digest as well: NAME@sha256:...",
	    NULL },
	{ "skip-digest-for-named", 0, OPT_FLAG, NULL,
	    "With --digests: only images that have no other name.", NULL },
	{ "no-unpack", 0, OPT_FLAG, NULL, "Leave the layers to be unpacked when first needed.",
	    NULL },
	{ "label", 0, OPT_LIST, "KEY=VALUE", "Put a label on the images.", NULL },
	{ "quiet", 'q', OPT_FLAG, NULL, "Print the names only.", NULL },
	{ "format", 0, OPT_TEXT, "FORMAT", "table (the default) or json.", NULL },
	{ .name = NULL },
};

static const struct opt export_opts[] = {
	{ "skip-manifest-json", 0, OPT_FLAG, NULL,
	    "Leave out manifest.json, which docker load needs.", NULL },
	{ .name = NULL },
};

static const struct opt convert_opts[] = {
	{ "uncompress", 0, OPT_FLAG, NULL, "Layers as plain tar.", NULL },
	{ "gzip", 0, OPT_FLAG, NULL, "Layers compressed with gzip.", NULL },
	{ "zstd", 0, OPT_FLAG, NULL, "Layers compressed with zstd; makes it an OCI image.", NULL },
	{ "oci", 0, OPT_FLAG, NULL, "OCI media types instead of Docker's.", NULL },
	{ .name = NULL },
};

static const struct opt tag_opts[] = {
	{ "force", 'f', OPT_FLAG, NULL, "Take the name from the image that has it.", NULL },
	{ .name = NULL },
};

static const struct opt inspect_opts[] = {
	{ "content", 0, OPT_FLAG, NULL, "Print the documents too.", NULL },
	{ "format", 0, OPT_TEXT, "FORMAT", "table (a tree, the default) or json.", NULL },
	{ .name = NULL },
};

static const struct opt check_opts[] = {
	{ "quiet", 'q', OPT_FLAG, NULL, "Print only the names of what is complete and unpacked.",
	    NULL },
	{ "format", 0, OPT_TEXT, "FORMAT", "table (the default) or json.", NULL },
	{ .name = NULL },
};

static const struct opt label_opts[] = {
	{ "replace-all", 0, OPT_FLAG, NULL, "Drop the labels that are not given.", NULL },
	{ .name = NULL },
};

static const struct opt prune_opts[] = {
	{ "all", 'a', OPT_FLAG, NULL, "Every image that no container was made from.", NULL },
	{ "force", 'f', OPT_FLAG, NULL, "Do not ask.", NULL },
	{ .name = NULL },
};

static const struct opt mount_opts[] = {
	{ "rw", 0, OPT_FLAG, NULL, "To write to; what is written is not in the image.", NULL },
	{ "platform", 0, OPT_TEXT, "OS/ARCH", "Platform to mount. Default: the host's.", NULL },
	{ .name = NULL },
};

static const struct opt unmount_opts[] = {
	{ "rm", 0, OPT_FLAG, NULL, "Remove what was written there, too.", NULL },
	{ .name = NULL },
};

static const struct opt start_opts[] = {
	{ "attach", 0, OPT_FLAG, NULL, "Stay in the foreground, as ctr run does.", NULL },
	{ "detach", 'd', OPT_FLAG, NULL, "Return when it runs: what is done anyway.", NULL },
	{ .name = NULL },
};

static const struct opt container_list_opts[] = {
	{ "image", 0, OPT_TEXT, "IMAGE", "Only containers made from the image of this full name.",
	    NULL },
	{ .name = NULL },
};

static const struct opt logs_opts[] = {
	{ "follow", 'f', OPT_FLAG, NULL,
	    "Go on with what is written, until the container has ended.", NULL },
	{ "tail", 0, OPT_TEXT, "N", "Start with the last N lines instead of all.", NULL },
	{ "timestamps", 't', OPT_FLAG, NULL, "Put the time (UTC) before each line.", NULL },
	{ .name = NULL },
};

static const struct opt stop_opts[] = {
	{ "timeout", 't', OPT_TEXT, "TIME",
	    "From the stop signal to KILL: 5, 500ms, 1m. Default: 10.", "time" },
	{ "signal", 's', OPT_TEXT, "SIGNAL", "Send this instead of the container's stop signal.",
	    NULL },
	{ .name = NULL },
};

static const struct opt kill_opts[] = {
	{ "signal", 's', OPT_TEXT, "SIGNAL", "Signal to send, by name or number. Default: KILL.",
	    NULL },
	{ .name = NULL },
};

static const struct opt delete_opts[] = {
	{ "force", 'f', OPT_FLAG, NULL, "End it first when it runs.", NULL },
	{ "keep-snapshot", 0, OPT_FLAG, NULL, "Leave its snapshot, with what it has written.",
	    NULL },
	{ .name = NULL },
};

static const struct opt run_opts[] = {
	{ "rm", 0, OPT_FLAG, NULL, "Remove the container when it has ended, however it ends.",
	    NULL },
	{ "detach", 'd', OPT_FLAG, NULL, "Return when it runs, and print its name.", NULL },
	{ "pull", 0, OPT_TEXT, "WHEN",
	    "Pull the image: missing (when it is not there, the default), always, never.", NULL },
	{ .name = NULL },
};

static const struct opt exec_opts[] = {
	{ "exec-id", 0, OPT_TEXT, "ID",
	    "Name of the exec, unique in the container. Default: made up.", NULL },
	{ "tty", 't', OPT_FLAG, NULL, "Give it a terminal.", NULL },
	{ "interactive", 'i', OPT_FLAG, NULL, "Keep its input open, with --detach too.", "stdin" },
	{ "detach", 'd', OPT_FLAG, NULL, "Return when it runs, and print its id.", NULL },
	{ "env", 'e', OPT_LIST, "KEY=VALUE",
	    "Set a variable, added to the container's; KEY alone takes its value from ctr's own "
	    "environment.",
	    NULL },
	{ "env-file", 0, OPT_LIST, "FILE", "Set variables from a file of KEY=VALUE lines.", NULL },
	{ "cwd", 'w', OPT_TEXT, "DIR", "Start in this folder.", "workdir" },
	{ "user", 'u', OPT_TEXT, "USER[:GROUP]", "Run as this user.", NULL },
	{ .name = NULL },
};

static const struct opt exec_id_opts[] = {
	{ "exec-id", 0, OPT_TEXT, "ID", "An exec of the container instead of its own process.",
	    NULL },
	{ .name = NULL },
};

static const struct opt task_kill_opts[] = {
	{ "signal", 's', OPT_TEXT, "SIGNAL", "Signal to send, by name or number. Default: TERM.",
	    NULL },
	{ "exec-id", 0, OPT_TEXT, "ID", "An exec of the container instead of its own process.",
	    NULL },
	{ "all", 'a', OPT_FLAG, NULL, "Every process of the container.", NULL },
	{ .name = NULL },
};

static const struct opt task_delete_opts[] = {
	{ "force", 'f', OPT_FLAG, NULL, "KILL it first when it runs.", NULL },
	{ "exec-id", 0, OPT_TEXT, "ID", "An exec of the container instead of its own process.",
	    NULL },
	{ .name = NULL },
};

static const struct opt format_opts[] = {
	{ "format", 0, OPT_TEXT, "FORMAT", "table (the default) or json.", NULL },
	{ .name = NULL },
};

static const struct opt events_opts[] = {
	{ "from", 0, OPT_TEXT, "N", "Start with event number N; 1 is the first there ever was.",
	    NULL },
	{ "no-follow", 0, OPT_FLAG, NULL, "End where the journal ends instead of waiting for more.",
	    NULL },
	{ "topic", 0, OPT_LIST, "PREFIX", "Only topics that start so: /tasks, /images/create.",
	    NULL },
	{ "all", 0, OPT_FLAG, NULL,
	    "Of all namespaces; this is so anyway when no namespace is named.", NULL },
	{ "format", 0, OPT_TEXT, "FORMAT", "table (the default) or json: one object a line.",
	    NULL },
	{ .name = NULL },
};

/* --- commands ------------------------------------------------------------------------------------- */

const struct group groups[] = {
	{ "images", "image|i", "manage images" },
	{ "containers", "container|c", "manage containers" },
	{ "tasks", "task|t", "manage the processes of containers" },
	{ "snapshots", "snapshot", "look at snapshots and work with them" },
	{ "content", NULL, "work with the content store" },
	{ "plugins", "plugin", "look at what can be chosen from" },
	{ "leases", "lease", "hold content against garbage collection" },
	{ "namespaces", "namespace|ns", "manage namespaces" },
};
const unsigned groups_count = COUNT(groups);

const struct verb verbs[] = {
	{ .name = "run",
	    .args = "IMAGE NAME [COMMAND [ARG...]]",
	    .brief = "create and start a container",
	    .text =
		"Makes a container of this name from the image, starts it, and stays until it has "
		"ended: its output is ctr's output, its exit status ctr's exit status. Without "
		"--rm the container stays, with its log and its exit status; containers start "
		"runs it again.\n\n"
		"The command replaces the one of the image; behind -- it may begin with a dash. "
		"Its input is ctr's input.\n\n" TEXT_FOREGROUND,
	    .examples = "# A command in a container that leaves nothing\n"
			"ctr run --rm docker.io/library/busybox:latest hello echo hello\n"
			"# A shell\n"
			"ctr run --rm -t debian shell bash\n"
			"# A server in the background, on the host's network\n"
			"ctr run -d --net-host docker.io/library/nginx:latest web\n"
			"# Input through a pipe\n"
			"tar c . | ctr run --rm busybox count wc -c",
	    .exits = EXITS_PROCESS,
	    .opts = { run_opts, create_opts },
	    .min_args = 2,
	    .max_args = MANY,
	    .command_after = 2,
	    .exit = EXIT_RUN,
	    .run = run_run },
	{ .name = "events",
	    .also = "event",
	    .args = "",
	    .brief = "show what happens",
	    .text =
		"Shows the events of images, containers, tasks, snapshots and namespaces while "
		"they happen: the time, the namespace, the topic, and what it is about. All of "
		"them are in a journal in one order; --from starts in the past. When the daemon "
		"is restarted meanwhile nothing is missed.",
	    .examples = "ctr events\n"
			"# All that is in the journal, for a program\n"
			"ctr events --from 1 --no-follow --format json\n"
			"# Only what containers do\n"
			"ctr events --topic /containers --topic /tasks",
	    .opts = { events_opts },
	    .run = events_follow },
	{ .name = "gc",
	    .args = "",
	    .brief = "remove what nothing needs any more",
	    .text =
		"Removes the blobs, snapshots, ingests and leases that no image, container or "
		"lease "
		"holds, and images that have expired, in all namespaces, and says what went. The "
		"daemon does so by itself, soon after something was removed.",
	    .examples = "ctr gc\nctr gc --format json",
	    .opts = { format_opts },
	    .run = gc_collect },
	{ .name = "workers",
	    .also = "worker",
	    .args = "",
	    .brief = "show the worker processes of the daemon",
	    .text =
		"Shows for each worker whether it runs, since when, how often it was replaced and "
		"why it died last, how many requests it has answered and how fast (half of "
		"them, and 99 of 100, took less than shown). This is read from shared memory: "
		"it works while workers, or the whole daemon, are dead.",
	    .examples = "ctr workers\nctr workers --format json | jq '.[] | select(.restarts > 0)'",
	    .opts = { format_opts },
	    .run = workers_list },
	{ .name = "version",
	    .args = "",
	    .brief = "show the versions of ctr and of the daemon",
	    .text =
		"Shows the version of this program and of each worker that answers. ctr --version "
		"asks nobody.",
	    .examples = "ctr version\nctr version --format json",
	    .opts = { format_opts },
	    .run = version_show },
	{ .name = "completion",
	    .args = "SHELL",
	    .brief = "print a completion script",
	    .text = "Prints the completion for bash.",
	    .min_args = 1,
	    .max_args = 1,
	    .run = completion_show,
	    .hidden = true },
	{ .name = "manual",
	    .args = "",
	    .brief = "print ctr.1",
	    .text = "Prints the manual page.",
	    .run = manual_show,
	    .hidden = true },

	{ .group = "images",
	    .name = "pull",
	    .also = "fetch",
	    .args = "IMAGE",
	    .brief = "download an image from a registry and unpack it",
	    .text =
		"Downloads what is missing of the image, several layers at a time, verifies all "
		"of it and unpacks it. Short names are completed as docker does: nginx is "
		"docker.io/library/nginx:latest.\n\n"
		"On a terminal there is a bar for each part; else each change of state is a line. "
		"The last line is the image's full name. Interrupted, the pull is cancelled: no "
		"image of this name appears, and what was downloaded is used by the next try.\n\n"
		"Mirrors of a registry, its certificates and headers are found in hosts.toml "
		"files, as "
		"containerd has them: in the daemon's folder (/etc/coffer/certs.d), or in "
		"--hosts-dir. "
		"Logins are docker's: config.json and its credential helpers, run by ctr.",
	    .examples = "ctr images pull docker.io/library/nginx:latest\n"
			"ctr images pull 127.0.0.1:5000/mine@sha256:0123...\n"
			"ctr images pull --platform linux/arm64 --user me --password-stdin "
			"registry.example.com/app:1 < token",
	    .opts = { pull_opts, registry_opts, snapshotter_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = images_pull },
	{ .group = "images",
	    .name = "push",
	    .args = "REF [IMAGE]",
	    .brief = "send an image to a registry",
	    .text = "Sends IMAGE (REF itself when it is not named) to the registry, repository and "
		    "tag of "
		    "REF. What is there already is not sent; what the registry has in another "
		    "repository, as "
		    "far as pulls and pushes have shown, it takes over from there. A broken upload "
		    "goes on "
		    "where the registry says it is.\n\n"
		    "An index is pushed with all its platforms; where not all of them are here, "
		    "--platform "
		    "pushes the manifest of one. The last line is the full name.",
	    .examples =
		"ctr images push registry.example.com/web:1 docker.io/library/nginx:latest\n"
		"ctr images push --user me --password-stdin quay.io/me/app:2 < token\n"
		"ctr images push --platform linux/arm64 127.0.0.1:5000/app:arm app:1",
	    .opts = { push_opts, registry_opts },
	    .min_args = 1,
	    .max_args = 2,
	    .run = images_push },
	{ .group = "images",
	    .name = "list",
	    .also = "ls",
	    .args = "[FILTER...]",
	    .brief = "list images",
	    .text = "Lists the images of the namespace: full name, digest, size of all its parts "
		    "as they are stored, platform, and when the name was set." TEXT_FILTERS,
	    .examples =
		"ctr images list\nctr i ls -q\nctr images list --format json | jq '.[].name'\n"
		"# Those of one registry, and whatever has a label\n"
		"ctr images list 'name~=^quay\\.io/' labels.keep",
	    .opts = { list_opts },
	    .max_args = MANY,
	    .run = images_list },
	{ .group = "images",
	    .name = "info",
	    .args = "IMAGE",
	    .brief = "show all about an image, as JSON",
	    .text = "Shows the image's record, its manifest and layers for the platform, and its "
		    "config.",
	    .examples = "ctr images info nginx\nctr i info nginx | jq .config.config.Env",
	    .opts = { platform_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = images_info },
	{ .group = "images",
	    .name = "remove",
	    .also = "rm|delete|del",
	    .args = "IMAGE...",
	    .brief = "remove images",
	    .text = "Removes the names, and the blobs and snapshots that nothing else refers to. "
		    "Prints the full name of each.",
	    .examples = "ctr images remove nginx\nctr i rm docker.io/library/nginx:latest",
	    .exits = EXITS_EACH,
	    .opts = { remove_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = images_remove },
	{ .group = "images",
	    .name = "import",
	    .also = "load",
	    .args = "FILE",
	    .brief = "take images from an archive or a folder",
	    .text = "Takes images from an OCI layout (an archive or a folder, as skopeo, buildah, "
		    "umoci and "
		    "ctr images export write them) or from what docker save wrote, and unpacks "
		    "them. FILE - "
		    "is stdin. gzip, zstd, bzip2 and xz are seen through. Names are those that the "
		    "archive "
		    "gives, completed as docker does; an image of that name is replaced. Prints "
		    "the name and "
		    "digest of each.\n\n"
		    "Of an image for several platforms the host's is taken unless another one is "
		    "asked for. "
		    "Nothing appears before all of it is there and verified; when it fails or is "
		    "interrupted "
		    "nothing is left.",
	    .examples = "ctr images import image.tar\n"
			"docker save app:1 | ctr images import -\n"
			"ctr images import --base-name registry.example.com/app --digests layout/",
	    .opts = { import_opts, wanted_opts, snapshotter_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = images_import },
	{ .group = "images",
	    .name = "export",
	    .also = "save",
	    .args = "FILE IMAGE...",
	    .brief = "write images to an archive",
	    .text =
		"Writes the images as an OCI layout archive, which skopeo, buildah, umoci, "
		"containerd and "
		"ctr images import read, and docker load and podman load too. FILE - is stdout. "
		"The "
		"same images give the same bytes. Of an image for several platforms the host's is "
		"written unless another one is asked for. The file appears when all of it is "
		"written.",
	    .examples = "ctr images export app.tar registry.example.com/app:1\n"
			"ctr images export - nginx redis | ssh host ctr images import -",
	    .opts = { export_opts, wanted_opts },
	    .min_args = 2,
	    .max_args = MANY,
	    .run = images_export },
	{ .group = "images",
	    .name = "convert",
	    .args = "IMAGE NEW_NAME",
	    .brief = "make an image with layers packed another way",
	    .text = "Makes an image with the same files and config whose layers are packed another "
		    "way, "
		    "or which has OCI media types, and prints its digest. The same image gives the "
		    "same "
		    "result. An image of the new name is replaced. Of an image for several "
		    "platforms the "
		    "host's is taken unless another one is asked for.",
	    .examples = "ctr images convert --zstd app:1 app:1-zstd\n"
			"ctr images convert --oci --all-platforms app:1 registry.example.com/app:1",
	    .opts = { convert_opts, wanted_opts },
	    .min_args = 2,
	    .max_args = 2,
	    .run = images_convert },
	{ .group = "images",
	    .name = "tag",
	    .args = "IMAGE NEW_NAME...",
	    .brief = "give an image further names",
	    .text = "Makes further names for an image. Nothing is copied.",
	    .examples = "ctr images tag nginx registry.example.com/web:1",
	    .opts = { tag_opts },
	    .min_args = 2,
	    .max_args = MANY,
	    .run = images_tag },
	{ .group = "images",
	    .name = "inspect",
	    .args = "IMAGE",
	    .brief = "show what an image is made of",
	    .text = "Shows the tree of an image: its index, the manifests for each platform, their "
		    "configs and layers, with their sizes; what of that is missing here, and which "
		    "layers are unpacked.",
	    .examples = "ctr images inspect nginx\nctr images inspect --content nginx\n"
			"ctr images inspect --format json nginx | jq '.tree.children[].platform'",
	    .opts = { inspect_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = images_inspect },
	{ .group = "images",
	    .name = "check",
	    .args = "[IMAGE|FILTER...]",
	    .brief = "look whether images are complete",
	    .text =
		"Looks whether everything that an image needs for its platform is here, and "
		"whether it is unpacked. What is missing is said in a line each on stderr. Words "
		"with ==, != or ~= in them are filters, as of images list; without words all "
		"images are looked at. (content verify looks at the bytes.)",
	    .examples = "ctr images check\nctr images check --all-platforms nginx\n"
			"ctr images check -q 'name~=^quay'",
	    .exits = "0 when all of them are complete, 1 when something is missing, 2 when the "
		     "command line is wrong.",
	    .opts = { check_opts, wanted_opts },
	    .max_args = MANY,
	    .run = images_check },
	{ .group = "images",
	    .name = "usage",
	    .args = "[IMAGE...]",
	    .brief = "show what images take on disk",
	    .text =
		"Shows for each image the bytes of its blobs, of its unpacked layers, how much of "
		"both other images need as well, and how much is its own: what would be free "
		"without it.",
	    .examples = "ctr images usage\nctr images usage --format json nginx",
	    .opts = { format_opts },
	    .max_args = MANY,
	    .run = images_usage },
	{ .group = "images",
	    .name = "label",
	    .args = "IMAGE [KEY=VALUE...]",
	    .brief = "show or change an image's labels",
	    .text =
		"Sets labels of this name of an image; KEY= removes one, KEY alone is KEY=true. "
		"Prints the labels that it has then, one a line.",
	    .examples = "ctr images label nginx keep=yes\nctr images label nginx keep=\n"
			"ctr images label --replace-all nginx team=web",
	    .opts = { label_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = images_label },
	{ .group = "images",
	    .name = "prune",
	    .args = "[FILTER...]",
	    .brief = "remove images that nobody needs",
	    .text =
		"Removes images that no container was made from and that have no tag (they came "
		"by their digest alone) or whose index or manifest is not here; with --all every "
		"image that no container was made from. On a terminal it asks first. Prints the "
		"names, and how many bytes are free again. Filters, as of images list, leave the "
		"others alone.",
	    .examples = "ctr images prune\n"
			"# All that nothing runs from, but for what is labelled\n"
			"ctr images prune --all --force labels.keep!=yes",
	    .opts = { prune_opts },
	    .max_args = MANY,
	    .run = images_prune },
	{ .group = "images",
	    .name = "mount",
	    .args = "IMAGE DIR",
	    .brief = "show an image as a folder",
	    .text =
		"Mounts the image's files at a folder, read-only, or with --rw to be written to: "
		"the image stays as it is, what is written stays with the folder until unmount "
		"--rm. The mount outlives the daemon. setuid programs and devices of the image "
		"have no effect there. Prints the folder.",
	    .examples = "ctr images mount nginx /mnt && cat /mnt/etc/os-release\n"
			"ctr images unmount /mnt",
	    .opts = { mount_opts, snapshotter_opts },
	    .min_args = 2,
	    .max_args = 2,
	    .run = images_mount },
	{ .group = "images",
	    .name = "unmount",
	    .also = "umount",
	    .args = "DIR...",
	    .brief = "end what images mount began",
	    .text = "Unmounts images. What was written with mount --rw is kept, and is there again "
		    "when the image is mounted at the same folder; --rm removes it.",
	    .examples = "ctr images unmount /mnt\nctr images unmount --rm /srv/tree",
	    .exits = EXITS_EACH,
	    .opts = { unmount_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = images_unmount },

	{ .group = "containers",
	    .name = "create",
	    .args = "IMAGE NAME [COMMAND [ARG...]]",
	    .brief = "create a container",
	    .text =
		"Makes a container from an image that is here: its OCI spec and its root "
		"filesystem. It does not run; containers start does that. Names are letters and "
		"digits with single '.', '_' or '-' between, up to 76 characters.\n\n"
		"The command replaces the one of the image; behind -- it may begin with a dash.",
	    .examples =
		"ctr containers create docker.io/library/nginx:latest nginx-container\n"
		"ctr c create --net-host --env TZ=UTC --memory 256m nginx web\n"
		"ctr c create --mount type=bind,src=/srv,dst=/srv,options=rbind:ro nginx files\n"
		"ctr c create busybox lister -- ls -l /",
	    .opts = { create_opts },
	    .min_args = 2,
	    .max_args = MANY,
	    .command_after = 2,
	    .run = containers_create },
	{ .group = "containers",
	    .name = "start",
	    .args = "CONTAINER...",
	    .brief = "start containers",
	    .text =
		"Starts containers that were created, or that have ended, and returns when they "
		"run. With --attach, stays in the foreground with one.",
	    .examples = "ctr containers start nginx-container\nctr c start --attach job",
	    .exits = EXITS_EACH,
	    .opts = { start_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = containers_start },
	{ .group = "containers",
	    .name = "list",
	    .also = "ls",
	    .args = "[FILTER...]",
	    .brief = "list containers",
	    .text =
		"Lists the containers of the namespace: name, image, OCI runtime, state, process "
		"id on this host, and when it was created. The state is that of its task "
		"(created, running, paused, stopped), or created when it was never "
		"started." TEXT_FILTERS,
	    .examples = "ctr containers list\nctr c ls -q\n"
			"ctr containers list 'image~=nginx:' 'labels.\"io.example/team\"==web'",
	    .opts = { list_opts, container_list_opts },
	    .max_args = MANY,
	    .run = containers_list },
	{ .group = "containers",
	    .name = "info",
	    .also = "inspect",
	    .args = "CONTAINER",
	    .brief = "show all about a container, as JSON",
	    .text = "Shows the container's record, its task, its environment and mounts, and its "
		    "whole OCI spec, which these are taken from.",
	    .examples = "ctr containers info nginx-container\n"
			"ctr c info nginx-container | jq .spec.process.args",
	    .min_args = 1,
	    .max_args = 1,
	    .run = containers_info },
	{ .group = "containers",
	    .name = "exec",
	    .args = "CONTAINER COMMAND [ARG...]",
	    .brief = "run a further process in a container",
	    .text = "Runs a command inside a running container and stays until it has ended. "
		    "Its input is ctr's input.\n\n" TEXT_FOREGROUND,
	    .examples = "ctr containers exec --exec-id my-exec-id nginx-container ps aux\n"
			"ctr c exec -t nginx-container sh",
	    .exits = EXITS_PROCESS,
	    .opts = { exec_opts },
	    .min_args = 2,
	    .max_args = MANY,
	    .command_after = 1,
	    .exit = EXIT_RUN,
	    .run = run_exec },
	{ .group = "containers",
	    .name = "logs",
	    .also = "log",
	    .args = "CONTAINER",
	    .brief = "show what a container has written",
	    .text =
		"Shows what the container's process has written since it was made: its stdout on "
		"stdout, its stderr on stderr. Works for containers that have ended. With -f it "
		"ends when the container does.",
	    .examples = "ctr containers logs nginx-container\n"
			"ctr c logs -f --tail 10 --timestamps nginx-container",
	    .opts = { logs_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = containers_logs },
	{ .group = "containers",
	    .name = "stop",
	    .args = "CONTAINER...",
	    .brief = "ask containers to end",
	    .text =
		"Sends the stop signal (of the container, else of its image, else TERM), and KILL "
		"when it has not ended in time. Returns when it has ended.",
	    .examples = "ctr containers stop nginx-container\nctr c stop --timeout 30s db",
	    .exits = EXITS_EACH,
	    .opts = { stop_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = containers_stop },
	{ .group = "containers",
	    .name = "kill",
	    .args = "CONTAINER...",
	    .brief = "send a signal to containers",
	    .text =
		"Sends a signal to the container's own process; KILL unless another one is named.",
	    .examples = "ctr containers kill nginx-container\nctr c kill -s HUP nginx-container",
	    .exits = EXITS_EACH,
	    .opts = { kill_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = containers_kill },
	{ .group = "containers",
	    .name = "delete",
	    .also = "rm|del|remove",
	    .args = "CONTAINER...",
	    .brief = "remove containers",
	    .text =
		"Removes containers that do not run, with their snapshots and logs. --force ends "
		"them first.",
	    .examples = "ctr containers delete nginx-container\nctr c rm -f $(ctr c ls -q)",
	    .exits = EXITS_EACH,
	    .opts = { delete_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = containers_delete },
	{ .group = "containers",
	    .name = "commit",
	    .args = "CONTAINER IMAGE",
	    .brief = "make an image of a container",
	    .text =
		"Makes a new image out of what a container has written, on top of the layers of "
		"the "
		"image that it was made from, unpacks it and prints its name. A container that "
		"runs "
		"is paused meanwhile. Volumes and other mounts are not part of it, sockets are "
		"left "
		"out. SOURCE_DATE_EPOCH sets the time that the image says it was made at: the same "
		"container then gives the same image.",
	    .examples =
		"ctr containers commit web docker.io/library/web:patched\n"
		"ctr c commit -m 'fix the config' -c 'CMD [\"nginx\", \"-g\", \"daemon off;\"]' "
		"-c 'ENV LANG=C' web web:2",
	    .opts = { commit_opts },
	    .min_args = 2,
	    .max_args = 2,
	    .run = containers_commit },
	{ .group = "containers",
	    .name = "remove-after",
	    .args = "CONTAINER CREATED_AT",
	    .brief = "wait for the end of a container and remove it",
	    .text = "What ctr run -d --rm leaves behind to do its work.",
	    .min_args = 2,
	    .max_args = 2,
	    .run = run_remove_after,
	    .hidden = true },

	{ .group = "tasks",
	    .name = "list",
	    .also = "ls",
	    .args = "",
	    .brief = "list tasks",
	    .text =
		"Lists the tasks of the namespace, which are the containers that run or have run: "
		"process id on this host, status, exit status of those that have ended, and when "
		"they were started.",
	    .examples = "ctr tasks list\nctr t ls -q",
	    .opts = { list_opts },
	    .run = tasks_list },
	{ .group = "tasks",
	    .name = "start",
	    .args = "CONTAINER...",
	    .brief = "start containers",
	    .text =
		"The same as containers start: it returns when they run. (containerd's ctr stays "
		"in the foreground unless -d is given; here --attach does that.)",
	    .examples = "ctr task start nginx-container",
	    .exits = EXITS_EACH,
	    .opts = { start_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = containers_start },
	{ .group = "tasks",
	    .name = "kill",
	    .args = "CONTAINER...",
	    .brief = "send a signal to tasks",
	    .text =
		"Sends a signal, TERM unless another one is named, to the container's own process, "
		"to an exec, or to all processes of the container.",
	    .examples = "ctr tasks kill nginx-container\nctr t kill -s KILL --all web\n"
			"ctr t kill --exec-id my-exec-id web",
	    .exits = EXITS_EACH,
	    .opts = { task_kill_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = tasks_kill },
	{ .group = "tasks",
	    .name = "delete",
	    .also = "rm|del|remove",
	    .args = "CONTAINER...",
	    .brief = "forget tasks that have ended",
	    .text = "Forgets the ended process of a container, with its exit status; the container "
		    "stays and can be started again. With --exec-id, an exec.",
	    .examples = "ctr tasks delete job\nctr t rm -f web",
	    .exits = EXITS_EACH,
	    .opts = { task_delete_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = tasks_delete },
	{ .group = "tasks",
	    .name = "exec",
	    .args = "CONTAINER COMMAND [ARG...]",
	    .brief = "run a further process in a container",
	    .text =
		"The same as containers exec: runs a command inside a running container and stays "
		"until it has ended.\n\n" TEXT_FOREGROUND,
	    .examples = "ctr tasks exec --exec-id my-exec-id nginx-container ps aux",
	    .exits = EXITS_PROCESS,
	    .opts = { exec_opts },
	    .min_args = 2,
	    .max_args = MANY,
	    .command_after = 1,
	    .exit = EXIT_RUN,
	    .run = run_exec },
	{ .group = "tasks",
	    .name = "attach",
	    .args = "CONTAINER",
	    .brief = "join a running process",
	    .text =
		"Shows what the process writes from now on, and passes our input on when it takes "
		"any. Ends with it, and with its exit status. " TEXT_FOREGROUND,
	    .examples = "ctr tasks attach shell",
	    .exits =
		"The exit status of the process; 0 when we left it with ctrl-p ctrl-q; 1 when it "
		"does not run or cannot be joined.",
	    .opts = { exec_id_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = run_attach },
	{ .group = "tasks",
	    .name = "ps",
	    .args = "CONTAINER",
	    .brief = "list the processes of a container",
	    .text = "Lists the processes that are in the container now, by their ids on this host.",
	    .examples = "ctr tasks ps nginx-container",
	    .opts = { format_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = tasks_ps },
	{ .group = "tasks",
	    .name = "pause",
	    .args = "CONTAINER...",
	    .brief = "freeze containers",
	    .text = "Stops all processes of the container where they are, without their notice.",
	    .examples = "ctr tasks pause web",
	    .exits = EXITS_EACH,
	    .min_args = 1,
	    .max_args = MANY,
	    .run = tasks_pause },
	{ .group = "tasks",
	    .name = "resume",
	    .args = "CONTAINER...",
	    .brief = "let frozen containers go on",
	    .text = "Lets the processes of paused containers go on.",
	    .examples = "ctr tasks resume web",
	    .exits = EXITS_EACH,
	    .min_args = 1,
	    .max_args = MANY,
	    .run = tasks_resume },
	{ .group = "tasks",
	    .name = "wait",
	    .args = "CONTAINER...",
	    .brief = "wait for the end of containers",
	    .text = "Waits until they have ended, and prints the exit status of each.",
	    .examples = "ctr run -d busybox job sleep 5 && ctr tasks wait job",
	    .exits = EXITS_EACH,
	    .opts = { exec_id_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = tasks_wait },

	{ .group = "snapshots",
	    .name = "list",
	    .also = "ls",
	    .args = "[FILTER...]",
	    .brief = "list snapshots",
	    .text =
		"Lists the snapshots of the namespace: layers that were unpacked (committed, by "
		"chain id) and the roots of containers (active, by name), with what they stand "
		"on." TEXT_FILTERS,
	    .examples = "ctr snapshots list\nctr snapshots ls --format json\n"
			"ctr snapshots list kind==active",
	    .opts = { list_opts, snapshotter_opts },
	    .max_args = MANY,
	    .run = snapshots_list },
	{ .group = "snapshots",
	    .name = "tree",
	    .args = "",
	    .brief = "show what stands on what",
	    .text = "Shows the snapshots of the namespace as trees: below each one those that were "
		    "made from it.",
	    .examples = "ctr snapshots tree\nctr snapshots tree --snapshotter native",
	    .opts = { snapshotter_opts },
	    .run = snapshots_tree },
	{ .group = "snapshots",
	    .name = "info",
	    .args = "KEY",
	    .brief = "show a snapshot",
	    .text = "Shows a snapshot as JSON: its kind, parent, labels and times.",
	    .examples = "ctr snapshots info my-container | jq .Parent",
	    .opts = { snapshotter_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = snapshots_info },
	{ .group = "snapshots",
	    .name = "usage",
	    .args = "[KEY...]",
	    .brief = "show what snapshots take on disk",
	    .text = "Shows the bytes that each snapshot takes on disk without what it stands on, a "
		    "file with several names once, and its inodes. Without keys: all of them.",
	    .examples = "ctr snapshots usage\nctr snapshots usage -b my-container",
	    .opts = { usage_opts, snapshotter_opts },
	    .max_args = MANY,
	    .run = snapshots_usage },
	{ .group = "snapshots",
	    .name = "prepare",
	    .args = "KEY [PARENT]",
	    .brief = "make a snapshot to write to",
	    .text = "Makes an active snapshot, empty or on top of a committed one, and prints its "
		    "key; with --target the commands that mount it. Nothing but "
		    "ctr snapshots delete takes it away again.",
	    .examples = "ctr snapshots prepare work sha256:...\n"
			"ctr snapshots prepare -t /mnt work sha256:... | sh",
	    .opts = { prepare_opts, snapshotter_opts },
	    .min_args = 1,
	    .max_args = 2,
	    .run = snapshots_prepare },
	{ .group = "snapshots",
	    .name = "view",
	    .args = "KEY [PARENT]",
	    .brief = "make a snapshot to read from",
	    .text =
		"Makes a read-only snapshot of a committed one, and prints its key; with "
		"--target the commands that mount it. Nothing but ctr snapshots delete takes it "
		"away again.",
	    .examples = "ctr snapshots view -t /mnt look sha256:... | sh",
	    .opts = { prepare_opts, snapshotter_opts },
	    .min_args = 1,
	    .max_args = 2,
	    .run = snapshots_view },
	{ .group = "snapshots",
	    .name = "commit",
	    .args = "KEY ACTIVE",
	    .brief = "turn an active snapshot into a committed one",
	    .text = "The active snapshot becomes a committed one by the name of KEY, on which "
		    "others can stand; unmount it first. It stays until it is deleted.",
	    .examples = "ctr snapshots commit mine work",
	    .opts = { snapshotter_opts },
	    .min_args = 2,
	    .max_args = 2,
	    .run = snapshots_commit },
	{ .group = "snapshots",
	    .name = "mounts",
	    .also = "m|mount",
	    .args = "FOLDER KEY",
	    .brief = "print the commands that mount a snapshot",
	    .text = "Prints the commands that mount an active snapshot or a view at the folder. "
		    "They are not executed.",
	    .examples = "ctr snapshots mounts /mnt work | sh",
	    .opts = { snapshotter_opts },
	    .min_args = 2,
	    .max_args = 2,
	    .run = snapshots_mounts },
	{ .group = "snapshots",
	    .name = "diff",
	    .args = "A [B]",
	    .brief = "write what changed as a layer",
	    .text =
		"Writes the layer of what changed to stdout: from A's parent to A, or from A to "
		"B. The same trees give the same bytes.",
	    .examples = "ctr snapshots diff my-container | tar -tz\n"
			"ctr snapshots diff --media-type application/vnd.oci.image.layer.v1.tar a "
			"b >layer.tar",
	    .opts = { diff_opts, snapshotter_opts },
	    .min_args = 1,
	    .max_args = 2,
	    .run = snapshots_diff },
	{ .group = "snapshots",
	    .name = "label",
	    .args = "KEY [LABEL=VALUE...]",
	    .brief = "show or change labels",
	    .text =
		"Sets labels of a snapshot, or takes away those without a value, and prints all "
		"it has.",
	    .examples = "ctr snapshots label work purpose=test\nctr snapshots label work purpose=",
	    .opts = { snapshotter_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = snapshots_label },
	{ .group = "snapshots",
	    .name = "unpack",
	    .args = "IMAGE",
	    .brief = "unpack the layers of an image",
	    .text = "Unpacks the layers of an image, by digest or name, that are not unpacked yet, "
		    "and prints its name.",
	    .examples = "ctr snapshots unpack sha256:...\n"
			"ctr snapshots unpack --snapshotter native busybox",
	    .opts = { snapshotter_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = snapshots_unpack },
	{ .group = "snapshots",
	    .name = "delete",
	    .also = "del|remove|rm",
	    .args = "KEY...",
	    .brief = "delete snapshots",
	    .text =
		"Deletes snapshots on which no other stands. They are gone at once; their files "
		"go in the background.",
	    .examples = "ctr snapshots delete work",
	    .exits = EXITS_EACH,
	    .opts = { snapshotter_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = snapshots_delete },
	{ .group = "plugins",
	    .name = "list",
	    .also = "ls",
	    .args = "",
	    .brief = "list snapshotters, and which of them work here",
	    .text = "Lists the ways in which layers and the roots of containers can be laid out on "
		    "disk, whether each works on this host, and why not. The one that is marked is "
		    "taken when nobody says which.",
	    .examples = "ctr plugins ls\nctr plugins list --format json",
	    .opts = { list_opts },
	    .run = plugins_list },
	{ .group = "content",
	    .name = "list",
	    .also = "ls",
	    .args = "[FILTER...]",
	    .brief = "list blobs",
	    .text = "Lists the blobs that the images of the namespace are made of: indexes, "
		    "manifests, configs and layers, as they were downloaded." TEXT_FILTERS,
	    .examples = "ctr content list\nctr content ls -q\n"
			"ctr content list 'digest~=^sha256:12ab'",
	    .opts = { list_opts },
	    .max_args = MANY,
	    .run = content_list },
	{ .group = "content",
	    .name = "get",
	    .args = "DIGEST",
	    .brief = "print a blob",
	    .text = "Writes the bytes of a blob, or of a part of it, to stdout or to a file, which "
		    "has its name only when it is whole.",
	    .examples = "ctr content get sha256:... | jq .\n"
			"ctr content get --offset 1m --size 64k -o part sha256:...",
	    .opts = { get_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = content_get },
	{ .group = "content",
	    .name = "ingest",
	    .args = "REF",
	    .brief = "store a blob from stdin",
	    .text =
		"Stores what comes on stdin as a blob and prints its digest. REF names it on its "
		"way: after an interruption the same command, given the same bytes, goes on where "
		"it stopped. What no image, lease or label holds goes with the next garbage "
		"collection: give it a lease or a label.",
	    .examples = "ctr content ingest --lease build layer-1 <layer.tar.gz\n"
			"ctr content ingest --expected-digest sha256:... --label "
			"containerd.io/gc.root=yes a <blob",
	    .opts = { ingest_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = content_ingest },
	{ .group = "content",
	    .name = "active",
	    .args = "[FILTER...]",
	    .brief = "list blobs on their way",
	    .text = "Lists what is being ingested or downloaded, and how far it is." TEXT_FILTERS,
	    .examples = "ctr content active\nctr content active -q",
	    .opts = { list_opts },
	    .max_args = MANY,
	    .run = content_active },
	{ .group = "content",
	    .name = "abort",
	    .args = "REF...",
	    .brief = "throw ingests away",
	    .text = "Throws away what was stored of blobs that are not whole yet.",
	    .examples = "ctr content abort layer-1",
	    .exits = EXITS_EACH,
	    .min_args = 1,
	    .max_args = MANY,
	    .run = content_abort },
	{ .group = "content",
	    .name = "delete",
	    .also = "del|remove|rm",
	    .args = "DIGEST...",
	    .brief = "remove blobs, whatever needs them",
	    .text = "Removes blobs from the namespace. An image that needs one is not whole any "
		    "more: it has to be pulled again.",
	    .examples = "ctr content delete sha256:...",
	    .exits = EXITS_EACH,
	    .min_args = 1,
	    .max_args = MANY,
	    .run = content_delete },
	{ .group = "content",
	    .name = "label",
	    .args = "DIGEST [KEY=VALUE...]",
	    .brief = "change a blob's labels",
	    .text = "Sets labels of a blob; KEY= removes one, KEY alone is KEY=true. Prints the "
		    "labels that it has then, one a line. Labels containerd.io/gc.* say what "
		    "garbage collection leaves alone.",
	    .examples = "ctr content label sha256:... containerd.io/gc.root=yes",
	    .min_args = 2,
	    .max_args = MANY,
	    .run = content_label },
	{ .group = "content",
	    .name = "edit",
	    .args = "DIGEST",
	    .brief = "store a changed copy of a blob",
	    .text =
		"Gives a document to the editor ($VISUAL, $EDITOR, else vi), stores what comes "
		"out of it, with the same labels, and prints its digest. The old one stays as it "
		"is.",
	    .examples = "ctr content edit sha256:...\nctr content edit --editor 'sed -i s/a/b/' "
			"sha256:...",
	    .opts = { edit_opts },
	    .min_args = 1,
	    .max_args = 1,
	    .run = content_edit },
	{ .group = "content",
	    .name = "verify",
	    .args = "[DIGEST...]",
	    .brief = "compare blobs with their digests",
	    .text =
		"Reads all blobs of the namespace, or those named, and compares them with their "
		"digests. A damaged one is set aside (to content/damaged below the daemon's root), "
		"named, and fetched again by the next pull of an image that needs it.",
	    .examples = "ctr content verify\nctr content verify sha256:...",
	    .exits = "0 when all are whole, 1 when one was damaged, 2 when the command line is "
		     "wrong.",
	    .opts = { format_opts },
	    .max_args = MANY,
	    .run = content_verify },
	{ .group = "leases",
	    .name = "list",
	    .also = "ls",
	    .args = "[FILTER...]",
	    .brief = "list leases",
	    .text = "Lists the leases of the namespace." TEXT_FILTERS,
	    .examples = "ctr leases list\nctr leases ls -q",
	    .opts = { list_opts },
	    .max_args = MANY,
	    .run = leases_list },
	{ .group = "leases",
	    .name = "create",
	    .args = "[KEY=VALUE...]",
	    .brief = "make a lease",
	    .text =
		"Makes a lease, with labels, and prints its name. What a lease holds, and what "
		"that refers to, is not garbage until the lease is deleted or its time is over.",
	    .examples =
		"ctr leases create --id build -x 2h\nctr leases create --expires 0 team=web",
	    .opts = { lease_opts },
	    .max_args = MANY,
	    .run = leases_create },
	{ .group = "leases",
	    .name = "delete",
	    .also = "del|rm",
	    .args = "LEASE...",
	    .brief = "end leases",
	    .text = "Ends leases. What nothing else holds goes soon.",
	    .examples = "ctr leases delete build\nctr leases delete --sync build",
	    .exits = EXITS_EACH,
	    .opts = { lease_delete_opts },
	    .min_args = 1,
	    .max_args = MANY,
	    .run = leases_delete },
	{ .group = "leases",
	    .name = "add",
	    .args = "LEASE TYPE/ID...",
	    .brief = "let a lease hold something",
	    .text = "Lets a lease hold blobs, images, ingests or snapshots: content/DIGEST, "
		    "images/NAME, ingests/REF, snapshots/SNAPSHOTTER/KEY.",
	    .examples = "ctr leases add build content/sha256:...",
	    .min_args = 2,
	    .max_args = MANY,
	    .run = leases_add },
	{ .group = "leases",
	    .name = "remove",
	    .args = "LEASE TYPE/ID...",
	    .brief = "let a lease let go of something",
	    .text = "Lets a lease let go of what add or a command with that lease gave it.",
	    .examples = "ctr leases remove build content/sha256:...",
	    .min_args = 2,
	    .max_args = MANY,
	    .run = leases_remove },
	{ .group = "leases",
	    .name = "resources",
	    .args = "LEASE",
	    .brief = "list what a lease holds",
	    .text = "Lists what a lease holds, one TYPE/ID a line.",
	    .examples = "ctr leases resources build",
	    .min_args = 1,
	    .max_args = 1,
	    .run = leases_resources },
	{ .group = "namespaces",
	    .name = "list",
	    .also = "ls",
	    .args = "",
	    .brief = "list namespaces",
	    .text = "Lists the namespaces. Images, containers and snapshots of one are not seen in "
		    "another.",
	    .examples = "ctr namespaces list\nctr ns ls -q",
	    .opts = { list_opts },
	    .run = namespaces_list },
	{ .group = "namespaces",
	    .name = "create",
	    .args = "NAME [KEY=VALUE...]",
	    .brief = "make a namespace",
	    .text =
		"Makes a namespace, with labels. (The first image or container makes its namespace "
		"as well.)",
	    .examples = "ctr namespaces create tests owner=me",
	    .min_args = 1,
	    .max_args = MANY,
	    .run = namespaces_create },
	{ .group = "namespaces",
	    .name = "label",
	    .args = "NAMESPACE [KEY=VALUE...]",
	    .brief = "change a namespace's labels",
	    .text =
		"Sets labels of a namespace; KEY= removes one, KEY alone is KEY=true. Prints the "
		"labels that it has then, one a line.",
	    .examples = "ctr namespaces label tests owner=me",
	    .min_args = 2,
	    .max_args = MANY,
	    .run = namespaces_label },
	{ .group = "namespaces",
	    .name = "remove",
	    .also = "rm|delete|del",
	    .args = "NAMESPACE...",
	    .brief = "remove namespaces",
	    .text = "Removes namespaces that hold nothing any more; with --force also what is in "
		    "them: images, blobs, leases and snapshots. Containers are never taken along.",
	    .examples = "ctr namespaces remove tests\nctr namespaces remove --force tests",
	    .opts = { namespace_remove_opts },
	    .exits = EXITS_EACH,
	    .min_args = 1,
	    .max_args = MANY,
	    .run = namespaces_remove },
};
const unsigned verbs_count = COUNT(verbs);

static bool
named(const char *name, const char *also, const char *word)
{
	size_t n = strlen(word);

	if (strcmp(name, word) == 0)
		return true;
	while (also != NULL && *also != '\0') {
		size_t len = strcspn(also, "|");

		if (len == n && strncmp(also, word, n) == 0)
			return true;
		also += len;
		also += *also == '|';
	}
	return false;
}

const struct group *
group_find(const char *name)
{
	for (unsigned i = 0; i < groups_count; i++)
		if (named(groups[i].name, groups[i].also, name))
			return &groups[i];
	return NULL;
}

const struct verb *
verb_find(const char *group, const char *name)
{
	const struct group *g = group == NULL ? NULL : group_find(group);

	for (unsigned i = 0; i < verbs_count; i++) {
		bool inside = verbs[i].group == NULL
				  ? group == NULL
				  : g != NULL && strcmp(verbs[i].group, g->name) == 0;

		if (inside && named(verbs[i].name, verbs[i].also, name))
			return &verbs[i];
	}
	return NULL;
}
