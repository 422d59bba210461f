package build

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"devstack/compose"
	"devstack/engine/build/source"
	"devstack/engine/image"
	"devstack/engine/image/imagetest"
)

func TestConfiguration(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile(`FROM ${BASE}
MAINTAINER me
LABEL a=1 b="two words"
ENV X=x Y=$X-y
EXPOSE 80 53/udp 7000-7001
VOLUME /data ["/more"]
VOLUME ["/more"]
USER app
WORKDIR /srv
WORKDIR sub
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=2 CMD true
SHELL ["/bin/sh", "-ec"]
ONBUILD RUN echo triggered
ENTRYPOINT ["/e"]
CMD run it
`, func(r *Request) { r.Labels = map[string]string{"b": "given", "c": "3"} })
	c := o.img.Config
	for _, x := range []struct{ got, want string }{
		{strings.Join(c.Env, " "), "PATH=/bin X=x Y=-y"},
		{c.User, "app"},
		{c.WorkingDir, "/srv/sub"},
		{c.StopSignal, "SIGINT"},
		{c.Labels["a"] + c.Labels["b"] + c.Labels["c"], "1given3"},
		{strings.Join(c.Entrypoint, " "), "/e"},
		{strings.Join(c.Cmd, "|"), "/bin/sh|-ec|run it"},
		{strings.Join(c.Shell, " "), "/bin/sh -ec"},
		{strings.Join(c.OnBuild, ";"), "RUN echo triggered"},
		{strings.Join(c.Healthcheck.Test, " "), "CMD-SHELL true"},
	} {
		if x.got != x.want {
			t.Errorf("%q, want %q", x.got, x.want)
		}
	}
	for _, p := range []string{"80/tcp", "53/udp", "7000/tcp", "7001/tcp"} {
		if _, ok := c.ExposedPorts[p]; !ok {
			t.Errorf("port %s is missing", p)
		}
	}
	if _, ok := c.Volumes["/more"]; !ok {
		t.Errorf("volumes: %v", c.Volumes)
	}
	st, err := os.Stat(o.path("/srv/sub"))
	if err != nil || st.Sys().(*syscall.Stat_t).Uid != 1000 {
		t.Errorf("working directory: %v %v", st, err)
	}
	next := s.dockerfile("FROM base\nRUN true\n", func(r *Request) {
		r.Contexts = map[string]source.Spec{"base": {Kind: source.KindImage, Ref: string(o.img.ID)}}
	})
	if !strings.Contains(next.log, "triggered") || next.img.Config.OnBuild != nil {
		t.Errorf("ONBUILD: %q", next.log)
	}
}

func TestRunAs(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile(`FROM ${BASE}
ARG GREETING=hello
ENV NAME=world
RUN echo "$GREETING $NAME" > /greeting
RUN ["/bin/sh", "-c", "echo exec form > /exec"]
SHELL ["/bin/sh", "-e", "-c"]
RUN echo shell > /shell
WORKDIR /tmp
USER app
RUN id -u > id; pwd > pwd; echo $HOME > home; hostname > hostname
USER 1234:2000
RUN id -u > id2; id -g >> id2
`)
	for name, want := range map[string]string{
		"/greeting": "hello world\n", "/exec": "exec form\n", "/shell": "shell\n", "/tmp/id": "1000\n", "/tmp/pwd": "/tmp\n",
		"/tmp/home": "/home\n", "/tmp/hostname": "buildkitsandbox\n", "/tmp/id2": "1234\n2000\n",
	} {
		if got := o.file(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, line := range o.img.Config.Env {
		if strings.HasPrefix(line, "GREETING") || strings.HasPrefix(line, "HOSTNAME") {
			t.Errorf("%s is in the image", line)
		}
	}
}

func TestHeredocs(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile(`FROM ${BASE}
RUN <<EOF
echo one > /one
echo two > /two
EOF
RUN <<EOF
#!/bin/sh -e
echo $0 > /script
EOF
RUN cat <<A > /a && cat <<B >> /a
x
A
y
B
COPY --chmod=600 <<conf /etc/conf
k=v
conf
`)
	for name, want := range map[string]string{
		"/one": "one\n", "/two": "two\n", "/script": "/dev/pipes/EOF\n", "/a": "x\ny\n", "/etc/conf": "k=v\n",
	} {
		if got := o.file(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if st, err := os.Stat(o.path("/etc/conf")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
}

func TestMounts(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	r := s.request(map[string]string{
		"src/f": "context", "src/hidden": "h", ".dockerignore": "**/hidden\nDockerfile\n",
		"Dockerfile": `ARG BASE
FROM ${BASE} AS other
RUN mkdir /o && echo stage > /o/f
FROM ${BASE}
RUN --mount=type=bind,source=src,target=/in cat /in/f > /context; ls /in > /list; ! touch /in/x
RUN --mount=target=/in/deep/er,source=src/f cat /in/deep/er > /single
RUN --mount=type=bind,from=other,source=/o,target=/o,rw cat /o/f > /stage; echo more > /o/g; cat /o/g >> /stage
RUN --mount=type=cache,target=/cache,mode=0700,uid=1000 echo a >> /cache/x; stat -c %u:%a /cache > /cachestat
RUN --mount=type=cache,target=/cache,mode=0700,uid=1000 cat /cache/x > /cached
RUN --mount=type=cache,id=pre,target=/cache,from=other,source=/o cat /cache/f > /precached
RUN --mount=type=tmpfs,target=/t,size=1m echo x > /t/f; df /t | tail -1 | awk '{print $2}' > /tmpfs
RUN --mount=type=secret,id=s cat /run/secrets/s > /dev/null; stat -c %a /run/secrets/s > /secretmode
RUN --mount=type=secret,id=s,target=/x/y,mode=0444,uid=1000 cat /x/y | wc -c > /secretsize
RUN --mount=type=secret,id=s,env=TOKEN [ "$(echo $TOKEN | md5sum | cut -c1-8)" = 17a924fe ] && [ ! -e /run/secrets/s ]
RUN --mount=type=secret,id=none [ ! -e /run/secrets/none ]
`,
	})
	r.Secrets = []Secret{{ID: "s", Value: []byte("s3cret")}}
	o := s.build(r)
	for name, want := range map[string]string{
		"/context": "context", "/list": "f\n", "/single": "context", "/stage": "stage\nmore\n", "/cachestat": "1000:700\n",
		"/cached": "a\n", "/precached": "stage\n", "/tmpfs": "1024\n", "/secretmode": "400\n", "/secretsize": "6\n",
	} {
		if got := o.file(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"/in", "/o", "/cache", "/t", "/run/secrets", "/x"} {
		if o.has(name) {
			t.Errorf("a mount left %s", name)
		}
	}
	all := exec.Command("grep", "-rl", "s3cret", filepath.Join(s.data))
	if out, _ := all.Output(); len(out) > 0 {
		t.Errorf("the secret is in %s", out)
	}
	// No step waits for who writes to a pipe, nor reads a device without end.
	pipe := filepath.Join(t.TempDir(), "pipe")
	if out, err := exec.Command("mkfifo", pipe).CombinedOutput(); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	for _, name := range []string{pipe, "/dev/zero"} {
		r := s.inline("FROM ${BASE}\nRUN --mount=type=secret,id=s cat /run/secrets/s\n")
		r.Secrets = []Secret{{ID: "s", File: name}}
		if o := s.try(t.Context(), r); o.err == nil || !strings.Contains(o.err.Error(), name+" is no regular file") {
			t.Errorf("secret %s: %v", name, o.err)
		}
		r = s.inline("")
		r.Inline, r.Dockerfile, r.Context = "", name, source.Spec{Kind: source.KindDir, Path: t.TempDir()}
		if o := s.try(t.Context(), r); o.err == nil || !strings.Contains(o.err.Error(), name+" is no regular file") {
			t.Errorf("Dockerfile %s: %v", name, o.err)
		}
	}
	bad := s.try(t.Context(), s.inline("FROM ${BASE}\nRUN --mount=type=secret,id=none,required true\n"))
	if bad.err == nil || !strings.Contains(bad.err.Error(), "secret none: not found") {
		t.Error(bad.err)
	}
}

func TestSSH(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	agent := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", agent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("agent here\n"))
			c.Close()
		}
	}()
	r := s.request(map[string]string{
		"Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY --chmod=755 say /say\nRUN --mount=type=ssh /say > /said; ls -l $SSH_AUTH_SOCK | cut -c1-10 > /mode\n",
		"say": string(imagetest.Program(t, `package main
import ("io"; "net"; "os")
func main() {
	c, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil { panic(err) }
	io.Copy(os.Stdout, c)
}`)),
	})
	r.SSH = []SSH{{Path: agent}}
	o := s.build(r)
	if o.file("said") != "agent here\n" || o.file("mode") != "srw-------\n" {
		t.Errorf("%q %q", o.file("said"), o.file("mode"))
	}
}

func TestNetworks(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile(`FROM ${BASE}
RUN ip -o link | wc -l > /default
RUN --network=none ip -o link | wc -l > /none
RUN cat /etc/hosts > /hosts
`, func(r *Request) { r.ExtraHosts = map[string][]string{"db": {"10.1.2.3"}} })
	if o.file("default") != "2\n" || o.file("none") != "1\n" || !strings.Contains(o.file("hosts"), "10.1.2.3\tdb") {
		t.Errorf("%q %q %q", o.file("default"), o.file("none"), o.file("hosts"))
	}
	bad := s.try(t.Context(), s.inline("FROM ${BASE}\nRUN --network=host true\n"))
	if bad.err == nil || !strings.Contains(bad.err.Error(), "network.host") {
		t.Error(bad.err)
	}
	s.dockerfile("FROM ${BASE}\nRUN --network=host true\n", func(r *Request) { r.Entitlements = []string{"network.host"} })
}

func TestSecurity(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile("FROM ${BASE}\nRUN ! mount -t tmpfs x /tmp\nRUN --security=insecure mount -t tmpfs x /tmp && echo yes > /made\n", func(r *Request) { r.Privileged = true })
	if o.file("made") != "yes\n" {
		t.Error("insecure is not")
	}
	bad := s.try(t.Context(), s.inline("FROM ${BASE}\nRUN --security=insecure true\n"))
	if bad.err == nil || !strings.Contains(bad.err.Error(), "security.insecure") {
		t.Error(bad.err)
	}
}

func TestLimitsOfRun(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile("FROM ${BASE}\nRUN ulimit -n > /n; df /dev/shm | tail -1 | awk '{print $2}' > /shm\n", func(r *Request) {
		r.ShmSize = 1 << 20
		r.Ulimits = map[string]compose.Ulimit{"nofile": {Soft: 77, Hard: 78}}
	})
	if o.file("n") != "77\n" || o.file("shm") != "1024\n" {
		t.Errorf("%q %q", o.file("n"), o.file("shm"))
	}
}

func TestRemovedFiles(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile(`FROM ${BASE}
RUN mkdir -p /d/e && touch /d/e/f /gone
RUN rm -r /d /gone && mkdir /d && touch /d/new
RUN mv /bin/vi /bin/moved
`)
	if o.has("/gone") || o.has("/d/e") || !o.has("/d/new") || o.has("/bin/vi") || !o.has("/bin/moved") {
		t.Error("the tree is wrong")
	}
}

func TestHistoryMatchesLayers(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	o := s.dockerfile("FROM ${BASE} AS a\nRUN true\nWORKDIR /tmp\nENV A=1\nFROM a\nRUN echo > /x\n")
	b, err := s.store.ReadBlob(o.img.ID)
	if err != nil {
		t.Fatal(err)
	}
	f, err := image.ParseFile(b)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var notes []string
	for _, h := range f.History {
		if !h.EmptyLayer {
			n++
		}
		notes = append(notes, h.CreatedBy)
	}
	if n != len(o.img.Layers) || len(o.img.Layers) != 2 || !slices.Contains(notes, "RUN /bin/sh -c true") {
		t.Errorf("%d of %q for %d layers", n, notes, len(o.img.Layers))
	}
}
