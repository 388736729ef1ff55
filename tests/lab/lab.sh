#!/bin/bash
# A home router in three network namespaces, with Debian's miniupnpd as the port-mapping daemon.
#
#   inet  192.0.1.2  --- veth ---  192.0.1.1   router  192.168.77.1  --- veth ---  192.168.77.10  lan
#   2d00:1::2                      2d00:1::1       2d00:77::1, fe80::1             2d00:77::10
#
# lab.sh up|down|status     create, remove, describe; up and down may be repeated
# lab.sh exec NS CMD...     run CMD in inet, router or lan
# lab.sh daemon start|stop|restart|off|reboot|log   restart keeps the mappings (lease file), reboot loses them:
#                           it is off and start
# lab.sh wan IPV4           another WAN address for the router (same /24)
# lab.sh loss PCT           lose PCT % of the LAN's frames, each way; 0 = none
# lab.sh mute on|5351|pcp|off   router drops in silence: 5351/udp, 1900/udp and the daemon's HTTP | 5351/udp, so PCP and
#                           NAT-PMP | PCP version 2 only | nothing
#                           (without it a router with no daemon answers by ICMP or RST)
# lab.sh neighbour          a second host in the LAN: 192.168.77.11, another address of lan's interface
# lab.sh second             a second router with a LAN and a WAN of its own, beside the first; lan gets no route by it
#   inet  192.0.3.2  --- veth ---  192.0.3.1   router2  192.168.88.1  --- veth ---  192.168.88.10  lan
# lab.sh multicast on|off   off: no multicast reaches lan, as in many Wi-Fi networks and containers
# lab.sh count start|read|read6   packets that lan has sent to the router since the start: UDP and TCP, each; by both
#                           families, or by IPv6 alone
# lab.sh private CMD...     run CMD, which calls lab.sh, in namespaces of its own: no names or pids shared with others,
#                           nothing left behind; with USERNS=1 it needs no root
# environment: LAB=lab      name prefix; labs with different names live side by side
#   MODE=default|upnp|pmp|igd1   IGDv2 + NAT-PMP + PCP | no NAT-PMP, no PCP | no UPnP | as default, but called IGDv1
#   WAN=192.0.1             the WAN's /24. In a reserved range (203.0.113, 100.64.0 ...) miniupnpd refuses to map
#   MIN=120                 min_lifetime (PCP only)
#   UPTIME=5                the router's own uptime in seconds, as after a power cut; default: the machine's
#   ROUTER=router2          what daemon, wan and mute are about, once there is a second router
#   EXTRA='k=v;k=v'         more miniupnpd.conf lines, the last of a kind wins
set -u
PATH=$PATH:/usr/sbin:/sbin
LAB=${LAB:-lab} MODE=${MODE:-default} WAN=${WAN:-192.0.1}
# 2d00::/8 belongs to nobody: addresses for documentation would be told from public ones.
LAN4=192.168.77 LAN6=2d00:77: WAN6=2d00:1:
STATE=${STATES:-/var/tmp/portlease-lab}/$LAB ROUTER=${ROUTER:-router}
UUID=12345678-1234-4321-8765-0123456789ab
case $ROUTER in router) ;; router2) LAN4=192.168.88 WAN=192.0.3 UUID=${UUID%b}c ;; *) echo "ROUTER=$ROUTER?" >&2; exit 2 ;; esac
CONF=$STATE/$ROUTER.conf LOG=$STATE/$ROUTER.log PIDFILE=$STATE/$ROUTER.pid

die() { echo "lab.sh: $*" >&2; exit 1; }
in_ns() { local n=$1; shift; ip netns exec "$LAB-$n" "$@"; }
is_up() { [ -e "/run/netns/$LAB-router" ]; }
need_up() { is_up || die "$LAB is not up: run 'lab.sh up' first"; }
running() { [ -s "$PIDFILE" ] && kill -0 "$(cat "$PIDFILE")" 2>/dev/null; }

# A home router's firewall, with the chains that miniupnpd-nftables fills. They must exist, all three in this table: without
# them every mapping fails with 501 or PCP 8. What was DNATed may pass, as with OpenWrt's firewall, and does not need
# the daemon's own filter rule: 2.3.1, deleting one transport's rule of a port, may take the other transport's.
nft_rules() { cat <<END
table inet filter {
  chain miniupnpd { }; chain prerouting_miniupnpd { }; chain postrouting_miniupnpd { }; chain mute { }
  chain input { type filter hook input priority 0; policy drop
    iifname "lan0" jump mute
    iifname { "lo", "lan0" } accept
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp } accept
  }
  chain forward { type filter hook forward priority 0; policy drop
    ct state established,related accept
    iifname "lan0" oifname "wan0" accept
    ip6 nexthdr ipv6-icmp accept
    ct status dnat accept
    jump miniupnpd
  }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd
    ip saddr $LAN4.0/24 oifname "wan0" masquerade
  }
}
END
}

up() {
  local n d v4 v6
  is_up && [ "$(cat "$STATE/built" 2>/dev/null)" = "$WAN" ] && return 0
  down
  mkdir -p "$STATE"
  for n in inet router lan; do
    ip netns add "$LAB-$n" || die "cannot create namespace $LAB-$n"
    in_ns $n sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0
    in_ns $n ip link set lo up
  done
  # both ends are born in their namespaces: no interface of the lab is ever seen in the machine's own namespace
  in_ns router ip link add lan0 type veth peer name eth0 netns "$LAB-lan"
  in_ns router ip link add wan0 type veth peer name eth0 netns "$LAB-inet"
  while read -r n d v4 v6; do
    in_ns "$n" ip addr add "$v4/24" dev "$d"; in_ns "$n" ip addr add "$v6/64" dev "$d" nodad; in_ns "$n" ip link set "$d" up
  done <<END
router lan0 $LAN4.1 $LAN6:1
router wan0 $WAN.1 $WAN6:1
lan eth0 $LAN4.10 $LAN6:10
inet eth0 $WAN.2 $WAN6:2
END
  # as a router announces itself: its link-local address is the next hop
  in_ns router ip addr add fe80::1/64 dev lan0 nodad
  in_ns lan ip route add default via $LAN4.1; in_ns lan ip -6 route add default via fe80::1 dev eth0
  in_ns router ip route add default via "$WAN.2"; in_ns router ip -6 route add default via $WAN6:2
  in_ns inet ip -6 route add $LAN6:/64 via $WAN6:1        # IPv6 is routed; IPv4 is not: it has to cross the NAT
  in_ns router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  # the daemon sends to [ff02::1]:5350 without naming an interface; without this route that may leave by the WAN
  in_ns router ip -6 route replace multicast ff00::/8 dev lan0 table local metric 100
  nft_rules | in_ns router nft -f - || die "firewall rules refused"
  echo "$WAN" >"$STATE/built"
}

# Its LAN and WAN are the other ends of two more interfaces of lan and inet.
second() {
  local n d v4 LAN4=192.168.88
  [ -e "/run/netns/$LAB-router2" ] && return 0
  ip netns add "$LAB-router2" || die "cannot create namespace $LAB-router2"
  in_ns router2 ip link set lo up
  in_ns router2 ip link add lan0 type veth peer name eth1 netns "$LAB-lan"
  in_ns router2 ip link add wan0 type veth peer name eth1 netns "$LAB-inet"
  while read -r n d v4; do
    in_ns "$n" ip addr add "$v4/24" dev "$d"; in_ns "$n" ip link set "$d" up
  done <<END
router2 lan0 192.168.88.1
router2 wan0 192.0.3.1
lan eth1 192.168.88.10
inet eth1 192.0.3.2
END
  in_ns router2 ip route add default via 192.0.3.2
  in_ns router2 sysctl -qw net.ipv4.ip_forward=1
  nft_rules | in_ns router2 nft -f - || die "firewall rules refused"
}

down() {
  local n p
  for n in inet router router2 lan; do
    [ -e "/run/netns/$LAB-$n" ] || continue
    for p in $(ip netns pids "$LAB-$n"); do kill -9 "$p" 2>/dev/null; done     # only what runs inside this lab
    ip netns del "$LAB-$n"
  done
  rm -rf "$STATE"
}

# system_uptime: Debian's default 'yes' makes the epoch the machine's uptime, and a restart then goes unseen.
# ext_ifname and listening_ip are interface names: addresses would switch IPv6 off.
config() {
  local upnp=yes pmp=yes v1=no
  case $MODE in upnp) pmp=no ;; pmp) upnp=no ;; igd1) v1=yes ;; esac
  cat <<END
ext_ifname=wan0
listening_ip=lan0
http_port=5000
enable_upnp=$upnp
enable_natpmp=$pmp
force_igd_desc_v1=$v1
secure_mode=yes
system_uptime=no
notify_interval=30
min_lifetime=${MIN:-120}
max_lifetime=86400
lease_file=$STATE/$ROUTER.leases
uuid=$UUID
$(tr ';' '\n' <<<"${EXTRA:-}")
allow 1024-65535 $LAN4.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
END
}

daemon() {
  local sign=:5351
  case ${1:-} in
  start)
    need_up; running && return 0
    case $MODE in
      default|pmp|igd1) ;; upnp) sign=:1900 ;; *) die "MODE=$MODE: want default, upnp, pmp or igd1" ;;
    esac
    config >"$CONF"
    # -d: stay in the foreground, log on stderr. Each step execs, so $! is the daemon. Where there is no /dev/log,
    # syslog(3) also writes each line to /dev/console, which costs 0.4 to 30 ms a line; so it is hidden from the
    # daemon ('ip netns exec' has made a private mount namespace: nobody else sees this mount).
    # In a time namespace the daemon reads another uptime, which it takes for the router's.
    setsid ip netns exec "$LAB-$ROUTER" sh -c 'mount --bind /dev/null /dev/console; exec "$@"' - \
      ${UPTIME:+unshare --time --boottime $((UPTIME - $(cut -d. -f1 /proc/uptime)))} \
      miniupnpd -d -f "$CONF" -P "$STATE/$ROUTER.daemon.pid" >>"$LOG" 2>&1 </dev/null &
    echo $! >"$PIDFILE"; disown
    for _ in $(seq 500); do
      running || { tail -3 "$LOG" >&2; die "miniupnpd did not stay up"; }
      in_ns "$ROUTER" ss -Hlun | grep -q "$sign" && return 0
      sleep 0.01
    done
    die "miniupnpd does not listen on $sign; see $LOG" ;;
  stop|kill)
    running && kill "$([ "$1" = kill ] && echo -9 || echo -15)" "$(cat "$PIDFILE")"
    for _ in $(seq 300); do running || break; sleep 0.01; done
    running && kill -9 "$(cat "$PIDFILE")"
    rm -f "$PIDFILE" ;;
  restart) daemon stop; daemon start ;;
  off) daemon kill; rm -f "$STATE/$ROUTER.leases"; flush ;;
  reboot) daemon off; daemon start ;;
  log) [ ! -e "$LOG" ] || cat "$LOG" ;;
  pid) cat "$PIDFILE" ;;
  *) die "daemon start|stop|restart|off|reboot|log|pid" ;;
  esac
}

flush() { # a router that loses power forgets its mappings and its connections
  printf 'flush chain inet filter %s\n' miniupnpd prerouting_miniupnpd postrouting_miniupnpd | in_ns "$ROUTER" nft -f -
  in_ns "$ROUTER" conntrack -F >/dev/null 2>&1
}

wan() {
  in_ns "$ROUTER" ip -4 addr flush dev wan0; in_ns "$ROUTER" ip addr add "$1/24" dev wan0
  in_ns "$ROUTER" ip route replace default via "${1%.*}.2"; in_ns "$ROUTER" conntrack -F >/dev/null 2>&1
}

loss() { # many kernels lack sch_netem: drop at ingress of both ends (dropped in 'output', sendto() would fail with EPERM)
  local pair
  for pair in router:lan0 lan:eth0; do
    in_ns "${pair%:*}" nft delete table netdev loss 2>/dev/null
    [ "$1" = 0 ] || echo "table netdev loss { chain in { type filter hook ingress device ${pair#*:} priority 0;
      ether type { ip, ip6 } numgen random mod 100 < $1 counter drop; }; }" | in_ns "${pair%:*}" nft -f - || return 1
  done
}

mute() {
  in_ns "$ROUTER" nft "flush chain inet filter mute"
  case ${1:-} in
    on) in_ns "$ROUTER" nft 'add rule inet filter mute meta l4proto { tcp, udp } th dport { 5351, 1900, 5000 } drop' ;;
    5351) in_ns "$ROUTER" nft 'add rule inet filter mute udp dport 5351 drop' ;;
    # the first byte of the payload is the version: 2 is PCP, 0 is NAT-PMP
    pcp) in_ns "$ROUTER" nft 'add rule inet filter mute udp dport 5351 @th,64,8 2 drop' ;;
    off) ;;
    *) die "mute on|5351|pcp|off" ;;
  esac
}

multicast() {
  in_ns lan nft delete table inet multicast 2>/dev/null
  case ${1:-} in
    on) ;;
    off) in_ns lan nft 'table inet multicast { chain in { type filter hook input priority 0
           meta l4proto udp pkttype multicast drop; }; }' ;;
    *) die "multicast on|off" ;;
  esac
}

count() { # all that lan sends but its answers to the internet, so that searches by multicast count too
  case ${1:-} in
    start) in_ns lan nft delete table inet count 2>/dev/null
      in_ns lan nft "table inet count { counter sent { }; counter sent6 { }; chain out { type filter hook output priority 0
        oifname != lo ip daddr != { 192.0.1.2, 192.0.3.2 } meta l4proto { tcp, udp } counter name sent
        oifname != lo ip6 daddr != $WAN6:2 meta l4proto { tcp, udp } counter name sent counter name sent6
        }; }" ;;
    read|read6) in_ns lan nft list counter inet count "sent${1#read}" | grep -o 'packets [0-9]*' | cut -d' ' -f2 ;;
    *) die "count start|read|read6" ;;
  esac
}

neighbour() { in_ns lan ip addr replace $LAN4.11/24 dev eth0; }

case ${1:-} in
up|down) "$1" ;;
exec) need_up; n=$2; shift 2; exec ip netns exec "$LAB-$n" "$@" ;;
daemon|wan|loss|mute|neighbour|second|multicast|count) need_up; "$@" ;;
private) shift
  # --kill-child with a pid namespace: when this ends, however it ends, the daemons and namespaces end with it. The shell
  # stays as process 1, because somebody has to reap: a dead daemon that is a zombie still looks alive to `kill -0`.
  # The first namespace is made here, because several processes that make the first one at once get in each other's way.
  exec unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private ${USERNS:+--user --map-root-user} \
    sh -c 'mount -t tmpfs tmpfs /run && mkdir /run/tmp && ip link set lo up && ip netns add first && ip netns del first &&
      export STATES=/run/lab TMPDIR=/run/tmp && "$@"; exit $?' - "$@" ;;
status) is_up && echo "$LAB: up (WAN $(cat "$STATE/built").0/24)" || echo "$LAB: down"
  running && echo "miniupnpd: pid $(cat "$PIDFILE")" || echo "miniupnpd: not running" ;;
*) sed -n '2,/^set -u/{/^set -u/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
