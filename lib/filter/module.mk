# pcre2 as an archive: the workers that filter load nothing more while nobody filters.
MODULE := lib/filter
NEEDS  := lib/base schemas
LIBS   := -l:libpcre2-8.a
$(eval $(module))
