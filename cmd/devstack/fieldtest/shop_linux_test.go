package fieldtest

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestShop runs the second example as it is, file and image names unchanged.
// The names lead to a registry of the test's own, with images that are made of
// Debian's packages and the machine's Go and behave as the official ones.
func TestShop(t *testing.T) {
	debian := needDebian(t)
	hub := startHub(t)
	s := newStage(t, "SSL_CERT_FILE="+hub.certificate)
	s.dir = filepath.Join(repository(t), "examples", "shop")

	base := layerOfFolder(t, debian, ".")
	hub.push(t, "postgres:17-alpine", v1.Config{
		Env: []string{
			"PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"PGDATA=/var/lib/postgresql/data",
		},
		Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"postgres"},
		Volumes:    map[string]struct{}{"/var/lib/postgresql/data": {}},
		StopSignal: "SIGINT",
	}, base, layerOfFiles(t, map[string]string{
		"usr/local/bin/docker-entrypoint.sh": readFile(t, "testdata/shop/postgres-entrypoint.sh"),
		"docker-entrypoint-initdb.d/":        "",
		"var/lib/postgresql/data/":           "",
	}))
	hub.push(t, "redis:7-alpine", v1.Config{
		Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"redis-server"},
		WorkingDir: "/data",
		Volumes:    map[string]struct{}{"/data": {}},
	}, base, layerOfFiles(t, map[string]string{
		"usr/local/bin/docker-entrypoint.sh": readFile(t, "testdata/shop/redis-entrypoint.sh"),
		"data/":                              "everybody's",
	}))
	hub.push(t, "nginx:alpine", v1.Config{
		Cmd: []string{"nginx", "-g", "daemon off;"}, StopSignal: "SIGQUIT",
	}, base, layerOfFiles(t, map[string]string{
		"etc/nginx/sites-enabled/.wh.default": "", // the official image has no default site
		"usr/share/nginx/html/index.html":     "Welcome to nginx!",
	}))
	hub.push(t, "golang:1.26-alpine", v1.Config{
		Env: []string{
			"PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"GOPATH=/go", "GOTOOLCHAIN=local", "GOPROXY=off", "GOSUMDB=off",
		},
		WorkingDir: "/go",
	}, base, goLayer(t), modulesLayer(t), layerOfFiles(t, map[string]string{
		"usr/bin/wget": "-> /bin/busybox",
	}))

	s.run(t, "pull", "-q")
	s.run(t, "up", "-d", "--wait")
	products := "http://127.0.0.1:8088/api/products"
	if page := get(t, "http://127.0.0.1:8088/"); !strings.Contains(page, "Teas and pots") {
		t.Errorf("page:\n%s", page)
	}
	if got := get(t, products); !strings.Contains(got, `"name":"teapot","stock":12`) {
		t.Errorf("products: %s", got)
	}
	buy(t)
	if got := get(t, products); !strings.Contains(got, `"name":"teapot","stock":11`) {
		t.Errorf("products after a sale: %s", got)
	}
	if got := s.run(t, "ps", "--services"); strings.Contains(got, "psql") {
		t.Errorf("services without a profile: %s", got)
	}
	if got := s.run(t, "run", "--rm", "-T", "psql", "psql", "-h", "db", "-U", "shop", "-Atc", "SELECT count(*) FROM products"); strings.TrimSpace(got) != "3" {
		t.Errorf("psql counts %q products", got)
	}
	if out, err := s.try(t, "exec", "-T", "web", "bash", "-c", "exec 3<>/dev/tcp/db/5432"); err == nil {
		t.Errorf("nginx, which is not on the network back, reaches the database:\n%s", out)
	}
	s.run(t, "down")
	s.run(t, "up", "-d", "--wait")
	if got := get(t, products); !strings.Contains(got, `"name":"teapot","stock":11`) {
		t.Errorf("products after down and up: %s", got)
	}
	s.run(t, "down", "-v", "--rmi", "all")
}

func buy(t *testing.T) {
	t.Helper()
	answer, err := http.Post("http://127.0.0.1:8088/api/products/1/buy", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("buy: %s", answer.Status)
	}
}

// hub is a registry that stands where docker.io is: its host names lead to the
// loopback address (see hubHosts), and its certificate is made for them.
type hub struct {
	certificate string
	transport   http.RoundTripper
}

var hubHosts = []string{"index.docker.io", "registry-1.docker.io", "docker.io"}

func startHub(t *testing.T) *hub {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry of a test"},
		NotAfter: time.Now().Add(time.Hour), DNSNames: hubHosts,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hub.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	cert, _ := x509.ParseCertificate(der)
	roots.AddCert(cert)

	handler := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(t.TempDir())), registry.Logger(log.New(io.Discard, "", 0)))
	l, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:   handler,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ServeTLS(l, "", "")
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return &hub{certificate: file, transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func (h *hub) push(t *testing.T, ref string, config v1.Config, layers ...v1.Layer) {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.Architecture, file.OS, file.Config = goEnv(t, "GOARCH"), "linux", config
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image, remote.WithTransport(h.transport)); err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
}

// layerOfFolder packs paths below dir, as they are.
func layerOfFolder(t *testing.T, dir string, args ...string) v1.Layer {
	t.Helper()
	cmd := exec.Command("tar", append([]string{"-C", dir, "--numeric-owner", "-c"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pack %s: %v\n%s", dir, err, stderr.String())
	}
	return static.NewLayer(out, types.OCIUncompressedLayer)
}

// layerOfFiles makes a layer of paths and texts. A path that ends in "/" is a
// folder, everybody's if its text says so; "-> X" is a symbolic link.
func layerOfFiles(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for path, text := range files {
		head := &tar.Header{Name: path, Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(text))}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			head.Typeflag, head.Linkname, head.Size, text = tar.TypeSymlink, target, 0, ""
		}
		if strings.HasSuffix(path, "/") {
			head.Typeflag, head.Size = tar.TypeDir, 0
			if text == "everybody's" {
				head.Mode, text = 0o777, ""
			}
		}
		if err := w.WriteHeader(head); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
}

func goLayer(t *testing.T) v1.Layer {
	t.Helper()
	return layerOfFolder(t, goEnv(t, "GOROOT"), "--transform=s,^./,usr/local/go/,S", "--exclude=./test", "--exclude=./api", "--exclude=./doc", ".")
}

// modulesLayer has the modules of the shop's API at /go/pkg/mod, from where
// the volume of that path gets them.
func modulesLayer(t *testing.T) v1.Layer {
	t.Helper()
	dir := os.Getenv(modulesEnv)
	if dir == "" {
		t.Skip("needs root and a module proxy")
	}
	return layerOfFolder(t, dir, "--transform=s,^./,go/pkg/mod/,S", ".")
}

func goEnv(t *testing.T, key string) string {
	t.Helper()
	out, err := exec.Command("go", "env", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
