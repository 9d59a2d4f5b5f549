MODULE := lib/store
NEEDS  := bus/wire lib/base schemas
LIBS   := -llmdb
$(eval $(module))
