git init -q ../inner
(cd ../inner; echo inner > i.txt; git add .; git commit -qm inner)
git clone -q --bare ../inner ../inner.git
git init -q
printf '[submodule "m"]\n\tpath = m\n\turl = ../inner.git\n' > .gitmodules
git add .; git update-index --add --cacheinfo 160000,$(git -C ../inner rev-parse HEAD),m; git commit -qm outer
