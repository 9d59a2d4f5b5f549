MODULE := lib/oci
NEEDS  := lib/base schemas
LIBS   := -ljansson -lcrypto
$(eval $(module))
