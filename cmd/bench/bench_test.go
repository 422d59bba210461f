package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"gopkg.in/yaml.v3"
)

func TestImagesAreValid(t *testing.T) {
	programs := []program{{idlePath, []byte("idle")}, {truePath, []byte("true")}}
	dir := t.TempDir()
	ref, err := writeImage(dir, "small", programs)
	if err != nil {
		t.Fatal(err)
	}
	if want := "oci:" + dir + ":small"; ref != want {
		t.Errorf("reference %q, want %q", ref, want)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("OCI layout: %v", err)
	}
	archive := filepath.Join(dir, "small.tar")
	if err := writeArchive(archive, "devstack-bench:small", programs); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Errorf("docker-archive: %v", err)
	}
}

func TestProjectsAreYAML(t *testing.T) {
	for name, text := range map[string]string{
		"flat":  flatProject(3, "oci:/x:small"),
		"chain": chainProject(3, "oci:/x:small"),
		"port":  portProject("oci:/x:net"),
	} {
		var project struct {
			Services map[string]struct {
				Image     string
				DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
			}
		}
		if err := yaml.Unmarshal([]byte(text), &project); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if project.Services == nil || !strings.Contains(text, "oci:/x:") {
			t.Errorf("%s: no services or image:\n%s", name, text)
		}
		if name == "chain" && project.Services["s0"].DependsOn["s1"].Condition != "service_healthy" {
			t.Errorf("chain does not hang together:\n%s", text)
		}
	}
}

func TestReport(t *testing.T) {
	r := &report{Baseline: timing{Median: 10, Min: 9, Max: 12, Runs: 25}}
	ms := time.Millisecond
	r.time("devstack", "up 1", []time.Duration{30 * ms, 35 * ms, 20 * ms}, 10*ms, 4)
	r.time("devstack", "ps of 20", []time.Duration{20 * ms}, 10*ms, 1.5)
	r.time("devstack", "down 1", []time.Duration{110 * ms}, 10*ms, noTarget)
	r.atLeast("devstack", "published port, throughput", "of direct", 0.95, 0.9, "1 of 1 GiB/s")
	r.none("devstack", "failed requests", 1, true, "of 9")
	r.none("docker compose", "failed requests", 2, false, "")
	r.fail("docker compose", "all", errors.New("not installed"))
	var b strings.Builder
	if err := r.writeTable(&b); err != nil {
		t.Fatal(err)
	}
	want := `
TOOL            WHAT                        MEDIAN    MIN    MAX    RESULT          TARGET          NOTE
crun            run /bin/true (baseline)    10.0 ms   9.0    12.0   1.0 x                           25 runs
devstack        up 1                        30.0 ms   20.0   35.0   3.00 x          ≤ 4     ok      
devstack        ps of 20                    20.0 ms   20.0   20.0   2.00 x          ≤ 1.5   missed  
devstack        down 1                      110.0 ms  110.0  110.0  11.0 x                          
devstack        published port, throughput                          0.95 of direct  ≥ 0.9   ok      1 of 1 GiB/s
devstack        failed requests                                     1.00                    missed  of 9
docker compose  failed requests                                     2.00                            
docker compose  all                                                                         failed  not installed
`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := r.writeJSON(&b); err != nil || !strings.Contains(b.String(), `"verdict": "missed"`) {
		t.Errorf("JSON: %v\n%s", err, b.String())
	}
}

func TestPercentile(t *testing.T) {
	var values []int
	for i := range 100 {
		values = append(values, 100-i)
	}
	for p, want := range map[int]int{1: 1, 50: 50, 99: 99, 100: 100} {
		if got := percentile(values, p); got != want {
			t.Errorf("percentile %d of 1 to 100: %d, want %d", p, got, want)
		}
	}
	if got := percentile([]int{7}, 99); got != 7 {
		t.Errorf("percentile 99 of 7: %d", got)
	}
}

// TestEdits looks at the projects whose edits are measured.
func TestEdits(t *testing.T) {
	for _, e := range changes() {
		folder, err := e.write(t.TempDir(), "oci:/x:web")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(folder, "compose.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var project struct {
			Services map[string]struct {
				Develop struct {
					Watch []struct{ Action string }
				}
			}
		}
		if err := yaml.Unmarshal(text, &project); err != nil {
			t.Fatalf("%s: %v\n%s", e.name, err, text)
		}
		if rules := project.Services["web"].Develop.Watch; len(rules) != 1 || rules[0].Action != e.name {
			t.Errorf("%s: rules %v in\n%s", e.name, rules, text)
		}
		p := page{path: filepath.Join(folder, pagePath)}
		if _, err := p.save(); err != nil {
			t.Fatal(err)
		}
		if saved, err := os.ReadFile(p.path); err != nil || string(saved) != "1\n" {
			t.Errorf("%s: saved %q, %v", e.name, saved, err)
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-sizes", "1,20", "-json"}, t.Output())
	if err != nil || !o.json || !cmp.Equal(o.sizes, []int{1, 20}) {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, bad := range [][]string{{"-sizes", "0"}, {"-sizes", "x"}, {"-runs", "0"}, {"stray"}} {
		if _, err := parse(bad, t.Output()); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestNetworkService(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serveOn(l) }()
	addr := l.Addr().String()
	got, err := containerAddress(addr)
	if err != nil || got != addr {
		t.Errorf("address %q, %v; want %q", got, err, addr)
	}
	if rate, err := download(addr, 8<<20); err != nil || rate <= 0 {
		t.Errorf("download: %v, %v", rate, err)
	}
	if took, err := echoRound(addr, 10); err != nil || took <= 0 {
		t.Errorf("echo: %v, %v", took, err)
	}
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("service ended with %v", err)
	}
}
