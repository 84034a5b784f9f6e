# Nothing in here may change the machine: it runs --privileged too.
# What a process sees inside a container. Run by busybox sh; each answer is one line or a block under its name.
say() { echo "== $1"; }
say status; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|Sig(Blk|Ign|Cgt))' /proc/self/status
say status1; grep -E '^(Cap|NoNewPrivs|Seccomp:|Sig(Blk|Ign))' /proc/1/status
say mounts; cut -d' ' -f4- /proc/self/mountinfo
say dev; for f in /dev/* /dev/pts/* /dev/shm/* /dev/mqueue/*; do [ -e "$f" ] || [ -L "$f" ] && stat -c '%A %u:%g %t,%T %N' "$f"; done
say limits; cat /proc/1/limits
say env; env | sort
say cgroup; cat /proc/self/cgroup
say umask; umask
say hostname; hostname; cat /etc/hostname
say hosts; cat /etc/hosts
say files; stat -c '%A %u:%g %F %n' / /etc /etc/hosts /etc/hostname /etc/resolv.conf /.dockerenv /proc /sys /dev /dev/shm /dev/pts /run /tmp 2>&1
say masked
for f in kcore keys latency_stats timer_list sched_debug asound acpi scsi interrupts; do
  if [ -d /proc/$f ]; then echo "$f dir $(ls -A /proc/$f | wc -l) $(stat -c %A /proc/$f)"
  elif [ -e /proc/$f ]; then echo "$f $(head -c 64 /proc/$f 2>&1 | wc -c) $(stat -c %t,%T /proc/$f)"
  else echo "$f none"; fi
done
for f in /sys/firmware /sys/devices/virtual/powercap; do [ -e $f ] && echo "$f $(ls -A $f | wc -l)" || echo "$f none"; done
say writable
for f in /proc/sys/kernel/domainname /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs /sys/kernel/profiling /sys/fs/cgroup /sys/fs/cgroup/memory; do
  [ -e $f ] || { echo "$f none"; continue; }
  if [ -d $f ]; then mkdir $f/probe 2>/dev/null && { rmdir $f/probe; echo "$f writable"; } || echo "$f refused"
  else (: >>$f) 2>/dev/null && echo "$f opens" || echo "$f refused"; fi
done
say devices
for d in 'mem 1 1' 'null 1 3' 'full 1 7' 'kmsg 1 11' 'sda 8 0' 'vda 254 0' 'tty0 4 0' 'fuse 10 229' 'ptmx 5 2'; do
  set -- $d; rm -f /tmp/node; kind=c; case $1 in sda|vda) kind=b;; esac
  if mknod /tmp/node $kind $2 $3 2>/dev/null; then head -c 0 /tmp/node 2>/dev/null && echo "$1 opens" || echo "$1 made, refused"
  else echo "$1 not made"; fi
done; rm -f /tmp/node
say calls
unshare -U true 2>&1; unshare -m true 2>&1; mount -t tmpfs none /tmp 2>&1 && umount /tmp; chroot / true 2>&1
ip link add dummy0 type dummy 2>&1; dmesg 2>&1 | head -c 0; hostname other 2>&1; chown 1:1 /tmp 2>&1 && chown 0:0 /tmp
say namespaces; for n in cgroup ipc mnt net pid uts user time; do [ "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" ] && echo "$n as pid 1"; done
say descriptors; set -- /proc/$$/fd/*; echo "${@##*/}" # 3 is this listing itself
say oom; cat /proc/1/oom_score_adj
say coredump; cat /proc/1/coredump_filter
say session; cut -d' ' -f 4-8 /proc/1/stat
say cwd; readlink /proc/1/cwd; readlink /proc/1/root
say sysctls; cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start 2>&1
say loopback; ip addr show lo 2>/dev/null | grep -E 'inet|state' | sed 's/^ *//'
