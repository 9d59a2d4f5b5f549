MODULE := lib/oci
NEEDS  := lib/base schemas
LIBS   := -ljansson -l:libcrypto.a
$(eval $(module))
