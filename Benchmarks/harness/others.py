"""Servers and clients of others that come from packages: nginx, socat, redis-benchmark."""
import os
import re
import shutil
import subprocess

from .peers import Command, Peer


def packaged(name, about, program, package, commands, version=("--version",)):
    peer = Peer(name, about, "others", commands=commands)
    if not shutil.which(program):
        peer.missing = f"{program} missing (apt install {package})"
    else:
        peer.version = version_of(program, *version)
    return peer


def version_of(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"(?:version|nginx/|redis-\w+) ?(\d[\w.]*)", result.stdout + result.stderr)
    return found[1] if found else ""


def nginx():
    # Outside of PATH, for those who are not root.
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx") or "nginx"
    commands = {"http": Command((program,), prepare=nginx_http)}
    peer = packaged("nginx", "one process", program, "nginx libnginx-mod-stream", commands, ["-v"])
    if not peer.missing and stream_module(program) is not None:
        commands["proxy"] = Command((program,), prepare=nginx_stream(program))
    return peer


def socat():
    # Its default buffer has 8 KiB. This is more than it is usually given.
    words = ("socat", "-b", "65536", "TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,nodelay,backlog=1024",
             "TCP:127.0.0.1:{target},nodelay")
    return packaged(
        "socat", "buffers of 64 KiB, a process per connection", "socat", "socat", {"proxy": Command(words)}, ["-V"])


def redis_clients():
    common = ("redis-benchmark", "-t", "set,get", "-n", "{keys}", "-P", "100", "-q", "-p", "{port}")
    return [packaged(f"redis-benchmark-{count}", f"{count} connections", "redis-benchmark", "redis-tools", {
        "resp": Command((*common, "-c", str(count)))}) for count in (1, 50)]


REDIS_SERVER = Command(
    ("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
    prepare=lambda directory, *_: ["--dir", directory])


def all_of_them():
    return [nginx(), socat(), *redis_clients()]


# nginx's configuration


def stream_module(program):
    """The line that loads the stream module: empty when it is built in, None when there is none."""
    about = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr
    if re.search(r"--with-stream(\s|$)", about):
        return ""
    path = re.search(r"--modules-path=(\S+)", about)
    for directory in ([path[1]] if path else []) + ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"]:
        module = os.path.join(directory, "ngx_stream_module.so")
        if os.path.exists(module):
            return f"load_module {module};\n"
    return None


def nginx_configured(directory, port, head, body):
    prefix = os.path.join(directory, f"nginx-{port}")
    os.makedirs(prefix, exist_ok=True)
    path = os.path.join(prefix, "nginx.conf")
    with open(path, "w") as file:
        # One process and one thread, as the others have.
        file.write(
            f"{head}daemon off; master_process off; pid {prefix}/pid; error_log stderr crit;\n"
            f"worker_rlimit_nofile 20000; events {{ worker_connections 16384; }}\n{body}\n")
    return ["-p", prefix, "-e", "stderr", "-c", path]


def nginx_stream(program):
    def prepare(directory, port, target):
        return nginx_configured(directory, port, stream_module(program), f"""
stream {{
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        proxy_pass 127.0.0.1:{target};
        proxy_buffer_size 64k;
        tcp_nodelay on;
    }}
}}""")
    return prepare


def nginx_http(directory, port, _):
    paths = "\n".join(
        f"    {kind}_temp_path {directory}/nginx-{port}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return nginx_configured(directory, port, "", f"""
http {{
    access_log off;
    keepalive_requests 1000000000;
{paths}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ default_type text/plain; return 200 'Hello, World!'; }}
    }}
}}""")
