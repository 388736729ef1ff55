"""Small tools that run inside a namespace of the lab, written from the RFCs and not from portlease.

serve ADDR:PORT ...                        echo server, UDP and TCP; prints "ready"; ends when its input does. Here and
                                           below IPv6 addresses come without brackets
reach udp|tcp ADDR PORT TIMEOUT            one datagram or connection; prints who echoed it; status 1: nobody
ask udp|tcp ADDR PORT TIMEOUT [HEX]        the same for a server that does not echo: prints its answer to HEX in hexadecimal;
                                           without HEX only connects, and prints "connected"
map udp|tcp PORT [-e EXT] [-l LIFE] [-s SOURCE]   one PCP MAP request (RFC 6887 11.1); prints the answer as JSON
address                                    one NAT-PMP external address request (RFC 6886 3.2), the same
announcements INTERFACE_ADDRESS            prints "ready", then what the router announces by multicast: pcp, nat-pmp, ssdp;
                                           ends when its input does
advertise INTERFACE PREFIX=PREFERRED ...   one router advertisement (RFC 4861 4.2) with /64 prefixes, each preferred for
                                           so many seconds; hosts make addresses of them
swallow NAME                               makes the tun device NAME and loses all that is sent there; the same
"""

import argparse
import fcntl
import ipaddress
import json
import os
import select
import socket
import struct
import sys

GATEWAY = ("192.168.77.1", 5351)
ROUTER6 = "fe80::1"
PROTOCOL_NUMBERS = {"udp": 17, "tcp": 6}
# A message is echoed with the address of the server that got it in front, so that a test can tell two servers apart.
MESSAGE = b"hello"
FIRST_WAIT = 0.25
TRIES = 3


def family_of(address: str) -> socket.AddressFamily:
    """The family of the sockets for an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(endpoints: list[str]) -> int:
    """A UDP and a TCP socket for each endpoint, bound to its address: answers leave from where they were asked."""
    names: dict[socket.socket, bytes] = {}
    for endpoint in endpoints:
        address, port = endpoint.rsplit(":", 1)
        udp = socket.socket(family_of(address), socket.SOCK_DGRAM)
        tcp = socket.socket(family_of(address), socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (udp, tcp):
            sock.bind((address, int(port)))
            names[sock] = endpoint.encode()
        tcp.listen()
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([sys.stdin, *names], [], [])
        if sys.stdin in readable:
            return 0
        for sock in names.keys() & set(readable):
            if sock.type == socket.SOCK_DGRAM:
                message, peer = sock.recvfrom(2048)
                sock.sendto(names[sock] + b" " + message, peer)
            else:
                connection, _ = sock.accept()
                with connection:
                    connection.settimeout(1)
                    try:
                        connection.sendall(names[sock] + b" " + connection.recv(2048))
                    except OSError as error:
                        print(f"tcp peer lost: {error}", file=sys.stderr)


def reach(transport: str, address: str, port: int, timeout: float) -> int:
    """Sends one message, by a new socket: conntrack lets a flow that is going on pass after its mapping is gone."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(family_of(address), kind) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
            sock.send(MESSAGE)
            answer = sock.recv(2048)
        except OSError as error:
            print(f"{transport} {address}:{port} not reached: {error}", file=sys.stderr)
            return 1
    name, _, echo = answer.partition(b" ")
    if echo != MESSAGE:
        print(f"{transport} {address}:{port} answered {answer!r}", file=sys.stderr)
        return 1
    print(name.decode())
    return 0


def ask(transport: str, address: str, port: int, timeout: float, message: bytes) -> int:
    """What a server says to a message, or that it accepts a connection at all."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(family_of(address), kind) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
            if message:
                sock.send(message)
            print(sock.recv(2048).hex() if message else "connected")
        except OSError as error:
            print(f"{transport} {address}:{port} not reached: {error}", file=sys.stderr)
            return 1
    return 0


def exchange(request: bytes, source: str | None) -> bytes | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if source:
            sock.bind((source, 0))
        sock.connect(GATEWAY)
        if request[0] == 2:
            own = ipaddress.IPv6Address("::ffff:" + sock.getsockname()[0]).packed
            request = request[:8] + own + request[24:]
        for attempt in range(TRIES):
            try:
                sock.send(request)
                sock.settimeout(FIRST_WAIT * 2**attempt)
                return sock.recv(1100)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                return None
    return None


def show(answer: bytes | None) -> int:
    if answer is None:
        print(json.dumps({"result": None}))
        return 1
    if answer[0] == 0:
        fields = {"result": struct.unpack_from("!H", answer, 2)[0], "epoch": struct.unpack_from("!I", answer, 4)[0]}
        if len(answer) >= 12:
            fields["external"] = socket.inet_ntoa(answer[8:12])
    else:
        lifetime, epoch = struct.unpack_from("!II", answer, 4)
        fields = {"result": answer[3], "lifetime": lifetime, "epoch": epoch}
        if len(answer) >= 60:
            fields["port"] = struct.unpack_from("!H", answer, 42)[0]
            fields["external"] = str(ipaddress.IPv6Address(answer[44:60]).ipv4_mapped)
    print(json.dumps(fields))
    return 0 if fields["result"] == 0 else 1


def announcements(own: str) -> int:
    """A socket for port 5350 (RFC 6887 14.1, RFC 6886 3.2.1) and one for SSDP's 1900."""
    names: dict[socket.socket, str] = {}
    for group, port in (("224.0.0.1", 5350), ("239.255.255.250", 1900)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((group, port))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(own))
        names[sock] = "ssdp" if port == 1900 else ""
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([sys.stdin, *names], [], [])
        if sys.stdin in readable:
            return 0
        for sock in names.keys() & set(readable):
            message = sock.recv(2048)
            if names[sock] and not message.startswith(b"NOTIFY"):
                continue
            print(names[sock] or ("pcp" if message[0] == 2 else "nat-pmp"), flush=True)


def advertise(interface: str, prefixes: list[str]) -> int:
    """A default route for half an hour, and a prefix information option (RFC 4861 4.6.2) for each prefix."""
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    on_link_and_autonomous, valid = 0xC0, 7200
    for prefix in prefixes:
        address, _, preferred = prefix.partition("=")
        fields = (3, 4, 64, on_link_and_autonomous, valid, int(preferred), 0, ipaddress.IPv6Address(address).packed)
        message += struct.pack("!BBBBIII16s", *fields)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        index = socket.if_nametoindex(interface)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.bind((ROUTER6, 0, 0, index))
        sock.sendto(message, ("ff02::1", 0, 0, index))
    return 0


def swallow(name: str) -> int:
    """Reads the packets of a tun device (TUNSETIFF, linux/if_tun.h) and drops them."""
    set_interface, tun, no_header = 0x400454CA, 0x1, 0x1000
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, set_interface, struct.pack("16sH", name.encode(), tun | no_header))
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([sys.stdin, device], [], [])
        if sys.stdin in readable:
            return 0
        os.read(device, 65536)


def pcp_map(arguments: argparse.Namespace) -> int:
    header = struct.pack("!BBHI16x", 2, 1, 0, arguments.lifetime)
    body = os.urandom(12) + struct.pack(
        "!B3xHH", PROTOCOL_NUMBERS[arguments.transport], arguments.port, arguments.external
    )
    any_address = ipaddress.IPv6Address("::ffff:0.0.0.0").packed
    return show(exchange(header + body + any_address, arguments.source))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve")
    server.add_argument("endpoints", nargs="+")
    sender = commands.add_parser("reach")
    sender.add_argument("transport", choices=PROTOCOL_NUMBERS)
    sender.add_argument("address")
    sender.add_argument("port", type=int)
    sender.add_argument("timeout", type=float)
    asker = commands.add_parser("ask")
    asker.add_argument("transport", choices=PROTOCOL_NUMBERS)
    asker.add_argument("address")
    asker.add_argument("port", type=int)
    asker.add_argument("timeout", type=float)
    asker.add_argument("message", type=bytes.fromhex, nargs="?", default=b"")
    mapper = commands.add_parser("map")
    mapper.add_argument("transport", choices=PROTOCOL_NUMBERS)
    mapper.add_argument("port", type=int)
    mapper.add_argument("-e", "--external", type=int, default=0)
    mapper.add_argument("-l", "--lifetime", type=int, default=3600)
    mapper.add_argument("-s", "--source")
    commands.add_parser("address")
    commands.add_parser("announcements").add_argument("address")
    advertiser = commands.add_parser("advertise")
    advertiser.add_argument("interface")
    advertiser.add_argument("prefixes", nargs="+")
    commands.add_parser("swallow").add_argument("name")
    arguments = parser.parse_args()
    match arguments.command:
        case "serve":
            return serve(arguments.endpoints)
        case "reach":
            return reach(arguments.transport, arguments.address, arguments.port, arguments.timeout)
        case "ask":
            return ask(arguments.transport, arguments.address, arguments.port, arguments.timeout, arguments.message)
        case "map":
            return pcp_map(arguments)
        case "announcements":
            return announcements(arguments.address)
        case "advertise":
            return advertise(arguments.interface, arguments.prefixes)
        case "swallow":
            return swallow(arguments.name)
        case _:
            return show(exchange(b"\0\0", None))


if __name__ == "__main__":
    sys.exit(main())
