MODULE := lib/oci
NEEDS  := lib/base
LIBS   := -ljansson -lcrypto
$(eval $(module))
