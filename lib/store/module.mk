# libsodium (SHA-256 of keys that are too long) is one of libzmq's own libraries: it costs no worker
# another one.
MODULE := lib/store
NEEDS  := bus/wire lib/base schemas
LIBS   := -llmdb -lsodium
$(eval $(module))
