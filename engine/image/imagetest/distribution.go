package imagetest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// Distribution says how Debian's docker-registry is to be run.
type Distribution struct {
	TLS   bool
	Login bool // demand the user User with the password Password
}

// The one who may log in.
const (
	User     = "me"
	Password = "secret"
	htpasswd = "me:$2a$04$cpXmJZYaFfKJb.n4pF9tVOolJT1egdANF.v33/b21.XoAhjZluuMy\n" // bcrypt, the only kind that it takes
)

// ServeDistribution runs docker-registry on loopback until the test ends. CA
// is the file with the authority of its certificate.
func ServeDistribution(t testing.TB, d Distribution) *Registry {
	t.Helper()
	r, stop, err := d.Start(TempDir(t))
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("the package docker-registry is not installed")
	}
	if err != nil {
		t.Fatalf("run docker-registry: %v", err)
	}
	t.Cleanup(stop)
	return r
}

// Start runs docker-registry with its files in dir.
func (d Distribution) Start(dir string) (r *Registry, stop func(), err error) {
	r = &Registry{}
	config := "version: 0.1\nlog: {level: info, formatter: json, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: " + filepath.Join(dir, "data") + "}\n  delete: {enabled: true}\nhttp:\n  addr: 127.0.0.1:0\n"
	if d.TLS {
		r.CA = filepath.Join(dir, "ca.crt")
		key := filepath.Join(dir, "server.key")
		if err := Certificate(r.CA, key); err != nil {
			return nil, nil, err
		}
		config += "  tls: {certificate: " + r.CA + ", key: " + key + "}\n"
	}
	if d.Login {
		file := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(file, []byte(htpasswd), 0o600); err != nil {
			return nil, nil, err
		}
		config += "auth:\n  htpasswd: {realm: test, path: " + file + "}\n"
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, nil, err
	}
	cmd := exec.Command("docker-registry", "serve", file)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, nil, err
	}
	r.PID = cmd.Process.Pid
	stop = func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
	}
	if r.Host, err = listening(bufio.NewScanner(log)); err != nil {
		stop()
		return nil, nil, err
	}
	return r, stop, nil
}

// listening reads the log for the address, and goes on to read it.
func listening(log *bufio.Scanner) (addr string, err error) {
	at := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	said := ""
	for log.Scan() {
		if m := at.FindStringSubmatch(log.Text()); m != nil {
			go func() {
				for log.Scan() {
				}
			}()
			return m[1], nil
		}
		said += log.Text() + "\n"
	}
	return "", fmt.Errorf("it does not listen: %s", said)
}

// Certificate makes a certificate for loopback that is its own authority.
func Certificate(cert, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600)
}
