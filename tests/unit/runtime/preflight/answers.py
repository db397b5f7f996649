"""What Podman 5.4 answered, cut down to what is read."""

from __future__ import annotations

from typing import Any

WEB, SHOP, IMAGE = "c" * 64, "d" * 64, "1" * 64

Json = dict[str, Any]

INFO: Json = {
    "host": {
        "arch": "amd64",
        "cgroupManager": "cgroupfs",
        "cgroupVersion": "v1",
        "kernel": "6.18.44",
        "memFree": 1000,
        "ociRuntime": {"name": "runc", "path": "/usr/bin/runc"},
        "security": {"apparmorEnabled": False, "rootless": False},
    },
    "store": {"graphRoot": "/c/storage", "graphRootAllocated": 5000, "graphRootUsed": 2000},
    "version": {"APIVersion": "5.4.2", "Version": "5.4.2"},
}

NETWORK: Json = {
    "name": "net",
    "id": "2" * 64,
    "driver": "bridge",
    "subnets": [{"subnet": "10.89.0.0/24", "gateway": "10.89.0.1"}],
    "ipv6_enabled": False,
    "internal": False,
    "dns_enabled": True,
    "options": {"mtu": "1400"},
    "containers": {
        SHOP: {
            "name": "shop",
            "interfaces": {"eth0": {"subnets": [{"ipnet": "10.89.0.9/24"}]}},
        }
    },
}

LIST: list[Json] = [
    {
        "Id": SHOP,
        "Names": ["shop"],
        "State": "running",
        "Ports": [
            {
                "host_ip": "",
                "container_port": 80,
                "host_port": 8080,
                "range": 2,
                "protocol": "tcp",
            }
        ],
    },
    {
        "Id": WEB,
        "Names": ["old"],
        "State": "exited",
        "Ports": [
            {
                "host_ip": "127.0.0.1",
                "container_port": 80,
                "host_port": 9090,
                "range": 1,
                "protocol": "tcp",
            }
        ],
    },
]

CONTAINER: Json = {
    "Id": WEB,
    "Name": "web",
    "ImageName": "localhost/web:1",
    "Image": IMAGE,
    "OCIConfigPath": "/c/userdata/config.json",
    "OCIRuntime": "runc",
    "AppArmorProfile": "containers-default-0.62.2",
    "Pod": "",
    "Dependencies": [],
    "SizeRw": 6171,
    "State": {"Status": "running"},
    "Config": {
        "Env": ["TOKEN=s3cret"],
        "SystemdMode": True,
        "Secrets": [{"Name": "tok", "ID": "4"}],
    },
    "Mounts": [
        {"Type": "volume", "Name": "data", "Source": "/v/data/_data", "Destination": "/data"},
        {"Type": "bind", "Source": "/srv/web", "Destination": "/www", "Options": ["rbind"]},
        {"Type": "image", "Source": "localhost/site", "Destination": "/site"},
        {
            "Type": "bind",
            "Source": "/c/userdata/overlay/1/merge",
            "Destination": "/site",
            "Options": ["lowerdir=/l", "private"],
        },
    ],
    "NetworkSettings": {
        "Networks": {
            "net": {"IPAddress": "10.89.0.7", "GlobalIPv6Address": "fd00::7"},
        }
    },
    "HostConfig": {
        "AutoRemove": True,
        "NetworkMode": "bridge",
        "UsernsMode": "private",
        "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse"}],
        "PortBindings": {
            "80/tcp": [{"HostIp": "::", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
            "90/tcp": None,
        },
    },
}
