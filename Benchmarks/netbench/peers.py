"""What is measured: Eddy's examples, and the programs beside them. A Peer knows how it is started."""
import os
import re
import shutil
import subprocess

from . import processes

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXAMPLES = os.path.join(os.path.dirname(HERE), ".build", "release")
LOAD = os.path.join(HERE, ".build", "release", "eddy-load")


class Peer:
    """A program with a name. `missing` says why it can't run here; None when it can."""

    def __init__(self, name, program, arguments=(), package=None, prepare=None, says_listening=False):
        self.name = name
        self.program = program if os.sep in program else shutil.which(program) or program
        self.arguments = list(arguments)
        self.prepare = prepare
        self.says_listening = says_listening
        self.missing = None
        if not os.access(self.program, os.X_OK):
            if package:
                self.missing = f"{program} is not installed (apt install {package})"
            else:
                self.missing = f"{os.path.relpath(program, os.path.dirname(HERE))} is missing (swift build -c release)"

    def command(self, session, port, target=0):
        extra = self.prepare(session.directory, port, target) if self.prepare else []
        return [self.program] + [word.format(port=port, target=target) for word in self.arguments] + extra

    def start(self, session, port, target=0):
        server = session.start(self.command(session, port, target), self.name)
        try:
            if self.says_listening:
                processes.wait_for_line(server)
            else:
                processes.wait_for_port(server, port)
        except BaseException:
            session.end(server)
            raise
        return server


def example(name, program, *arguments):
    return Peer(name, os.path.join(EXAMPLES, program), arguments, says_listening=True)


def of_load(name, *arguments):
    return Peer(name, LOAD, arguments, says_listening=True)


def echo_servers():
    where = ("--host", "127.0.0.1", "--port", "{port}")
    return [
        example("eddy host", "echo-server", *where),
        example("eddy guest", "echo-server", *where, "--guest"),
        of_load("C epoll", "c-echo", "{port}"),
    ]


def udp_servers():
    return [
        example("eddy", "udp-echo", "--port", "{port}"),
        example("eddy batch", "udp-echo", "--port", "{port}", "--batch", "32"),
        of_load("C", "c-udp-echo", "{port}"),
        of_load("C batch", "c-udp-echo", "{port}", "--batch", "32"),
    ]


def http_servers():
    return [
        example("eddy host", "http-hello", "--port", "{port}"),
        example("eddy guest", "http-hello", "--port", "{port}", "--guest"),
        Peer("nginx", "nginx", package="nginx", prepare=nginx_http),
    ]


def proxies():
    nginx = Peer("nginx", "nginx", package="nginx libnginx-mod-stream", prepare=nginx_stream)
    if not nginx.missing and stream_module(nginx.program) is None:
        nginx.missing = "nginx has no stream module (apt install libnginx-mod-stream)"
    return [
        example("eddy", "tcp-proxy", "--listen", "127.0.0.1:{port}", "--to", "127.0.0.1:{target}"),
        # Its default buffer has 8 KiB. This is more than it is usually given.
        Peer("socat -b 65536", "socat", [
            "-b", "65536", "TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,nodelay,backlog=1024",
            "TCP:127.0.0.1:{target},nodelay"], package="socat"),
        nginx,
    ]


def redis_server():
    return Peer("redis-server", "redis-server", [
        "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"],
        package="redis-server", prepare=lambda directory, *_: ["--dir", directory])


def redis_clients():
    common = ("-t", "set,get", "-n", "{keys}", "-P", "100", "-q", "-p", "{port}")
    return [
        Peer("eddy redis-ping", os.path.join(EXAMPLES, "redis-ping"), (
            "--port", "{port}", "--keys", "{keys}", "--pipeline", "100")),
        Peer("redis-benchmark -c 1", "redis-benchmark", common + ("-c", "1"), package="redis-tools"),
        Peer("redis-benchmark -c 50", "redis-benchmark", common, package="redis-tools"),
    ]


# nginx


def stream_module(nginx):
    """The line that loads the stream module: empty when it is built in, None when there is none."""
    about = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr
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


def nginx_stream(directory, port, target):
    return nginx_configured(directory, port, stream_module(shutil.which("nginx")), f"""
stream {{
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        proxy_pass 127.0.0.1:{target};
        proxy_buffer_size 64k;
        tcp_nodelay on;
    }}
}}""")


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
