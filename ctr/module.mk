MODULE := ctr
NEEDS  := bus/peer bus/wire bus/board lib/oci lib/base schemas
# Linked in: with shared ones every run of ctr would load them, and all that libarchive can do besides.
LIBS   := -ljansson -l:libarchive.a -l:libbz2.a -l:liblzma.a -l:libz.a -l:libzstd.a -lpthread
$(eval $(module))

PROGRAM := ctr
MAIN    := ctr/main.c
NEEDS   := ctr
$(eval $(program))
