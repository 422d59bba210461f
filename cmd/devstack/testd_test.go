package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"
)

// testd is what the scripts' services run: one static program with the tricks
// that the tests need, so that they need nothing of the host.
func testd() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: testd http|lines|echo|env|exit|get|sleep|trap ...")
		syscall.Exit(2)
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "http": // ADDR TEXT: answer every request with TEXT and the host's name
		host, _ := os.Hostname()
		if len(args) == 3 && args[1] == "env" { // the text is a variable's
			args[1], args[2] = os.Getenv(args[2]), ""
			args = args[:2]
		}
		fmt.Println("listening")
		warm := time.Now().Add(30 * time.Millisecond)
		var ready atomic.Bool
		err := http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow": // takes its time
				time.Sleep(50 * time.Millisecond)
			case "/warm": // not at once
				time.Sleep(time.Until(warm))
				ready.Store(true)
			case "/ready": // only after /warm
				if !ready.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}
			fmt.Fprintf(w, "%s from %s\n", strings.Join(args[1:], " "), host)
		}))
		check(err)
	case "files": // ADDR FILE CONF: answer with what FILE has now, and CONF had at the start
		conf, _ := os.ReadFile(args[2])
		err := http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, err := os.ReadFile(args[1])
			fmt.Fprintf(w, "%s%s%v\n", data, conf, err)
		}))
		check(err)
	case "lines": // N: print lines, then wait for the end
		n, _ := strconv.Atoi(args[0])
		for i := range n {
			fmt.Printf("line %d\n", i+1)
		}
		untilSignal()
	case "echo":
		fmt.Println(strings.Join(args, " "))
	case "both": // one line each on stdout and stderr
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	case "cat":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "env":
		for _, k := range args {
			fmt.Printf("%s=%s\n", k, os.Getenv(k))
		}
	case "id":
		wd, _ := os.Getwd()
		host, _ := os.Hostname()
		fmt.Printf("uid=%d gid=%d cwd=%s host=%s\n", os.Getuid(), os.Getgid(), wd, host)
	case "whereami": // VARIABLE
		wd, _ := os.Getwd()
		fmt.Printf("uid=%d %s %s\n", os.Getuid(), wd, os.Getenv(args[0]))
	case "list": // DIR: every file in it, with its content
		err := filepath.WalkDir(args[0], func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			rel, _ := filepath.Rel(args[0], path)
			fmt.Printf("%s: %q\n", rel, data)
			return err
		})
		check(err)
	case "exit":
		code, _ := strconv.Atoi(args[0])
		syscall.Exit(code)
	case "get": // URL: print the answer, fail unless there is one
		resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(args[0])
		check(err)
		_, _ = io.Copy(os.Stdout, resp.Body)
	case "udpserve": // ADDR: answer every datagram
		c, err := net.ListenPacket("udp", args[0])
		for buf := make([]byte, 1500); err == nil; {
			var n int
			var from net.Addr
			if n, from, err = c.ReadFrom(buf); err == nil {
				_, err = c.WriteTo(append([]byte("udp: "), buf[:n]...), from)
			}
		}
		check(err)
	case "udp": // ADDR TEXT: send a datagram until there is an answer; print it
		c, err := net.Dial("udp", args[0])
		for buf := make([]byte, 1500); err == nil; {
			_, _ = c.Write([]byte(args[1]))
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if n, err := c.Read(buf); err == nil {
				fmt.Printf("%s\n", buf[:n])
				syscall.Exit(0)
			}
		}
		check(err)
	case "lookup": // NAME: print its addresses
		addrs, err := net.LookupHost(args[0])
		check(err)
		fmt.Println(strings.Join(addrs, " "))
	case "write": // FILE TEXT
		check(os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")+"\n"), 0o666))
	case "copy": // FROM TO: for ever, if it says so
		data, err := os.ReadFile(args[0])
		if string(data) == "for ever\n" {
			untilSignal()
		}
		if err == nil {
			err = os.WriteFile(args[1], data, 0o666)
		}
		check(err)
	case "stamp": // FILE: write the time into it, and stay
		check(os.WriteFile(args[0], []byte(time.Now().String()+"\n"), 0o666))
		untilSignal()
	case "read": // FILE
		data, err := os.ReadFile(args[0])
		check(err)
		os.Stdout.Write(data)
	case "exists": // FILE: a healthcheck that a script controls
		if _, err := os.Stat(args[0]); err != nil {
			fmt.Println(err)
			syscall.Exit(1)
		}
	case "orphan": // as process 1: get a child that is not one's own, and never wait for it
		c := exec.Command("sh", "-c", "(sleep 0.05; echo >/tmp/orphaned) & :")
		check(c.Run())
		untilSignal()
	case "sleep":
		untilSignal()
	case "deaf": // ignores SIGTERM
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGTERM)
		fmt.Println("deaf")
		for range ch {
		}
	case "trap": // says which signal ended it, and ends with 3
		signals := caught() // before anybody sends one
		fmt.Println("ready")
		fmt.Println("got", <-signals)
		syscall.Exit(3)
	default:
		fmt.Fprintln(os.Stderr, "testd: unknown", os.Args[1])
		syscall.Exit(2)
	}
}

// check ends the program with an error, if there is one.
func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		syscall.Exit(1)
	}
}

func untilSignal() os.Signal { return <-caught() }

func caught() <-chan os.Signal {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, append(forwarded(), syscall.SIGTERM, syscall.SIGINT)...)
	return ch
}

// cmdOCILayout: `ocilayout DIR [PATH=TEXT...]` makes an image with /testd and
// the given files as an OCI layout, which `image: oci:DIR` names.
func cmdOCILayout(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: ocilayout DIR [PATH=TEXT...]")
	}
	program, err := os.ReadFile(filepath.Join(ts.Getenv("BIN"), "testd"))
	ts.Check(err)
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	add := func(name string, mode int64, data []byte) {
		ts.Check(tw.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err := tw.Write(data)
		ts.Check(err)
	}
	ts.Check(tw.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}))
	add("testd", 0o755, program)
	for _, lib := range libraries(ts, filepath.Join(ts.Getenv("BIN"), "testd")) {
		data, err := os.ReadFile(lib)
		ts.Check(err)
		add(strings.TrimPrefix(lib, "/"), 0o755, data)
	}
	for _, kv := range args[1:] {
		name, text, _ := strings.Cut(kv, "=")
		add(strings.TrimPrefix(name, "/"), 0o644, []byte(text+"\n"))
	}
	ts.Check(tw.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	ts.Check(err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	ts.Check(err)
	cfg, err := img.ConfigFile()
	ts.Check(err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", runtime.GOARCH
	cfg.Config.Entrypoint = []string{"/testd"}
	cfg.Config.Cmd = []string{"sleep"}
	cfg.Config.Env = []string{"PATH=/", "FROM_IMAGE=yes"}
	img, err = mutate.ConfigFile(img, cfg)
	ts.Check(err)
	path, err := layout.Write(ts.MkAbs(args[0]), empty.Index)
	ts.Check(err)
	ts.Check(path.AppendImage(img))
}

// libraries are what a program needs that was linked dynamically, as the test
// binary is with -race: its loader and its libraries.
func libraries(ts *testscript.TestScript, program string) (paths []string) {
	f, err := elf.Open(program)
	ts.Check(err)
	defer f.Close()
	interp := f.Section(".interp")
	if interp == nil {
		return nil
	}
	loader, err := interp.Data()
	ts.Check(err)
	paths = append(paths, strings.TrimRight(string(loader), "\x00"))
	names, err := f.ImportedLibraries()
	ts.Check(err)
	for _, name := range names {
		for _, dir := range []string{"/lib64", "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				paths = append(paths, filepath.Join(dir, name))
				break
			}
		}
	}
	return paths
}
