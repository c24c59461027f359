mkfifo -m 640 pipe
ln a.txt second
chmod 4751 a.txt
mkdir -m 1770 sticky
: > empty
