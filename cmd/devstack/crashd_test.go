package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"devstack/engine/api"
)

// crashd is what the scripts about dying engines run: services that count what
// they do, clients that count what they get, and the killer.
func crashd() {
	if len(os.Args) < 2 {
		crashFail("usage: crashd spew|hits|pester|contiguous|kill ...")
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "spew": // N CODE: print numbered lines, as fast as they are taken, and end with CODE
		n, _ := strconv.Atoi(args[0])
		code, _ := strconv.Atoi(args[1])
		out := bufio.NewWriterSize(os.Stdout, 512)
		for i := range n {
			fmt.Fprintf(out, "hit %d\n", i+1)
		}
		out.Flush()
		syscall.Exit(code)
	case "hits": // ADDR: print a numbered line for each request
		var mu sync.Mutex
		n := 0
		err := http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			n++
			fmt.Printf("hit %d\n", n)
			fmt.Fprintf(w, "hit %d\n", n)
		}))
		crashFail(err)
	case "pester": // FILE URL...: ask the URLs in turn, each time on a new connection, until FILE exists
		pester(args[0], args[1:])
	case "contiguous": // N: read "hit 1" to "hit N", in order, each once
		want, _ := strconv.Atoi(args[0])
		contiguous(os.Stdin, want)
	case "kill": // engine|guard...: SIGKILL to them at once
		killEngine(args)
	case "pid": // WORD: of the process whose command line has the word
		fmt.Println(pidOf(args[0]))
	case "await": // N FILE: until the file has N lines more than now
		n, _ := strconv.Atoi(args[0])
		before := lineCount(args[1])
		for lineCount(args[1]) < before+n {
			time.Sleep(time.Millisecond)
		}
	case "cut": // engine|both|client N VERB...: run devstack, and kill at its N-th line of progress
		n, _ := strconv.Atoi(args[1])
		cut(args[0], n, args[2:])
	case "registry": // ADDR: an empty registry
		crashFail(http.ListenAndServe(args[0], registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	default:
		crashFail("crashd: unknown " + os.Args[1])
	}
}

func crashFail(why any) {
	fmt.Fprintln(os.Stderr, why)
	syscall.Exit(1)
}

func pester(until string, urls []string) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make([]int, len(urls))
	for i := 0; ; i = (i + 1) % len(urls) {
		if i == 0 {
			if _, err := os.Stat(until); err == nil {
				break
			}
		}
		// Connections to IPv6 are carried by the engine, not by the kernel: the
		// one that it carries at its end is cut. None may be refused.
		url, carried := strings.CutPrefix(urls[i], "carried:")
		resp, err := client.Get(url)
		var op *net.OpError
		if err != nil && carried && !(errors.As(err, &op) && op.Op == "dial") {
			continue
		}
		if err != nil {
			crashFail(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil && carried {
			continue
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			crashFail(fmt.Sprint(urls[i], ": ", resp.Status, " ", err))
		}
		answered[i]++
	}
	fmt.Println(answered[0])
}

func contiguous(r io.Reader, want int) {
	lines := bufio.NewScanner(r)
	n := 0
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "hit ")
		if !ok {
			continue
		}
		n++
		if text != strconv.Itoa(n) {
			crashFail(fmt.Sprintf("line %d is %q", n, lines.Text()))
		}
	}
	if n != want {
		crashFail(fmt.Sprintf("%d lines, want %d", n, want))
	}
}

func killEngine(who []string) {
	out, err := exec.Command("devstack", "engine", "status", "--format", "json").Output()
	var st api.StatusResult
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	if err != nil {
		crashFail(err)
	}
	for _, w := range who {
		p, err := os.FindProcess(map[string]int{"engine": st.PID, "guard": st.GuardPID}[w])
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			crashFail(err)
		}
	}
}

func lineCount(file string) int {
	data, _ := os.ReadFile(file)
	return bytes.Count(data, []byte{'\n'})
}

func pidOf(word string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if pid != os.Getpid() && pid != os.Getppid() && bytes.Contains(data, []byte(word)) {
			return pid
		}
	}
	crashFail("no process has " + word)
	return 0
}

func cut(whom string, at int, verb []string) {
	cmd := exec.Command("devstack", verb...)
	progress, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		crashFail(err)
	}
	lines := bufio.NewScanner(progress)
	for n := 1; lines.Scan(); n++ {
		if n != at {
			continue
		}
		switch whom {
		case "engine":
			killEngine([]string{"engine"})
		case "both":
			killEngine([]string{"engine", "guard"})
		case "client":
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // cut or not
}
