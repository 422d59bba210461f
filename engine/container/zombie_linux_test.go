package container

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A container whose engine and guard are gone may have a parent that never
// reaps: its end and its exit code must be seen all the same.
func TestStrangerThatNobodyReaps(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// sleep takes the shell's place and knows nothing of the child.
	parent := exec.Command("sh", "-c", `(read line <&3; exit 7) & echo $!; exec sleep 60 3<&- >&-`)
	parent.ExtraFiles = []*os.File{r}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		parent.Process.Kill()
		parent.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProcess(pid, pidfd, false)
	if err != nil {
		t.Fatal(err)
	}
	go p.watch(p.close)
	w.Close() // the child reads the end of its input and exits
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	exit, err := p.wait(ctx)
	if err != nil || exit.Code != 7 {
		t.Errorf("exit = %+v, %v; want code 7", exit, err)
	}
}
