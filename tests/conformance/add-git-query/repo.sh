git init -q
mkdir sub
echo one > a.txt; echo s > sub/s.txt; printf '#!/bin/sh\n' > run.sh; chmod 755 run.sh; ln -s a.txt link
git add .; git commit -qm one; git tag v1
echo two > a.txt; git commit -qam two
git checkout -qb side HEAD~1; echo side > a.txt; git commit -qam side; git checkout -q main
