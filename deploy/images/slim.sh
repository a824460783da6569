#!/bin/sh
# Takes from a Debian with Python 3.11 what no room needs: package tools, documentation, translations, tests and set-uid bits.
set -eu

python=$(readlink -f "$(command -v python3.11)")
stdlib=$(python3.11 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')

rm -rf \
  "$stdlib"/ensurepip "$stdlib"/idlelib "$stdlib"/lib2to3 "$stdlib"/pydoc_data "$stdlib"/test "$stdlib"/turtledemo "$stdlib"/config-3.11-* \
  "$stdlib"/site-packages/* /usr/lib/python3/dist-packages/* /usr/share/python-wheels /usr/local/bin/pip* /usr/bin/pip* \
  /usr/lib/*/gconv /usr/lib/*/perl-base /usr/bin/perl* /usr/lib/apt /usr/lib/*/libapt-* /usr/bin/apt* /usr/bin/dpkg* /usr/lib/dpkg \
  /usr/bin/gpgv /usr/bin/localedef /usr/bin/lsblk /usr/lib/*/security /usr/lib/*/libsepol.so* \
  /usr/sbin/* /usr/share/doc /usr/share/info /usr/share/locale /usr/share/man /usr/share/lintian /usr/share/bash-completion /usr/share/perl5 \
  /usr/share/zoneinfo /usr/lib/*/libgnutls.so* /usr/lib/*/libp11-kit.so* /usr/lib/*/libunistring.so* /usr/lib/*/libgcrypt.so* \
  /usr/lib/*/libsystemd.so* /usr/lib/*/libdb-* /usr/bin/openssl \
  /var/cache/* /var/lib/apt /var/lib/dpkg /var/log/* /etc/apt /root/.cache
find "$stdlib" -name __pycache__ -prune -exec rm -rf {} +
find / -xdev -type f -perm /6000 -exec chmod a-s {} +

echo 'spiral:x:10001:10001:Spiral:/tmp:/usr/sbin/nologin' >>/etc/passwd
echo 'spiral:x:10001:' >>/etc/group
install -d -o 10001 -g 10001 /work
# The console runs as the user who owns the reports, whoever that is.
install -d -m 1777 /work/.spiral /work/.spiral/work
ln -sf "$python" /usr/local/bin/python
python -m compileall -q -j 0 "$stdlib" || true
