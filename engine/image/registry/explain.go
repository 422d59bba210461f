package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	"devstack/engine/image"
	"devstack/engine/image/registry/routes"
)

// CredentialsError says that the stored credentials cannot be read.
type CredentialsError struct {
	Registry string
	Err      error
}

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("read credentials for %s: %v", e.Registry, e.Err)
}

func (e *CredentialsError) Unwrap() error { return e.Err }

// Explain words a failure to get ref from its registry: what happened in a
// few words, and what to do about it. Other errors come back as they are.
func Explain(ref image.Reference, err error) error { return explain("pull", ref, err) }

// ExplainPush is Explain for a failure to put ref into its registry.
func ExplainPush(ref image.Reference, err error) error { return explain("push", ref, err) }

func explain(op string, ref image.Reference, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &image.Error{Ref: ref.Familiar(), Op: op, Err: err}
	var status *StatusError
	if errors.As(err, &status) {
		if e.Hint, e.Err = explainStatus(op, ref, status); e.Err == error(status) {
			e.Err = err // with what was being done
		}
	} else if !explainConnection(e, ref.Domain, err) {
		return err
	}
	if m := (*MirrorsError)(nil); errors.As(err, &m) {
		tried := errors.Join(m.Mirrors...).Error()
		e.Hint = strings.TrimPrefix(e.Hint+"; also tried: "+strings.ReplaceAll(tried, "\n", "; "), "; ")
	}
	return e
}

// explainConnection words what went wrong before there was an answer.
func explainConnection(e *image.Error, host string, err error) bool {
	var dns *net.DNSError
	var creds *CredentialsError
	var blocked *routes.BlockedError
	var ambiguous *routes.AmbiguousError
	var unknownCA x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	if at := (*hostError)(nil); errors.As(err, &at) {
		host = at.host
	}
	switch {
	case errors.As(err, &creds):
		e.Hint = "see config.json in DOCKER_CONFIG (default ~/.docker) and the credential helper it names"
	case errors.As(err, &blocked):
		e.Hint = "take the image from another registry, or ask whoever wrote that file"
	case errors.As(err, &ambiguous):
		e.Hint = "write the registry before the name, or give it an alias in registries.conf"
	case errors.As(err, &dns):
		e.Err = fmt.Errorf("no such host %s", dns.Name)
		e.Hint = "check the registry's name, or that this machine is online; images that are in the store need no network with pull_policy: missing"
		if dns.IsTemporary || dns.IsTimeout {
			e.Err = fmt.Errorf("look up %s: no answer from the name server", dns.Name)
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Addr != nil && op.Addr.String() != host {
			host += " at " + op.Addr.String()
		}
		e.Err = fmt.Errorf("registry %s refuses connections", host)
		e.Hint = "is the registry running, and is the port right?"
	case errors.As(err, &unknownCA):
		e.Err = fmt.Errorf("registry %s has a certificate of an authority unknown here", host)
		e.Hint = "put the authority's certificate at /etc/containers/certs.d/" + host + "/ca.crt, or name it in SSL_CERT_FILE"
	case errors.As(err, &wrongHost):
		e.Err = fmt.Errorf("registry %s has a certificate for another name: %w", host, wrongHost)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Err = fmt.Errorf("registry %s speaks plain HTTP", host)
		e.Hint = "if that is meant so, write [[registry]] with location = \"" + host + "\" and insecure = true in registries.conf"
	case errors.Is(err, errNoAnswer), isTimeout(err):
		e.Err = fmt.Errorf("registry %s does not answer: %w", host, err)
		e.Hint = "check the network and the proxy settings"
	default:
		return false
	}
	return true
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func explainStatus(op string, ref image.Reference, s *StatusError) (hint string, err error) {
	what := "tag " + ref.Tag
	if ref.Digest != "" {
		what = "digest " + string(ref.Digest)
	}
	repo := image.FamiliarRepository(ref.Repository())
	host := s.Host // registries.conf may have led elsewhere
	if host == "" || host == hubAddr {
		host = ref.Domain
	}
	switch {
	case s.Status == http.StatusUnauthorized, s.Status == http.StatusForbidden, s.has(codeUnauthorized, codeDenied):
		if op == "push" {
			return fmt.Sprintf("log in with `devstack login %s` as somebody who may push to it", host), fmt.Errorf("registry %s does not let you push to %s", host, repo)
		}
		return fmt.Sprintf("check the name; if it is private, log in first: `devstack login %s`", host), fmt.Errorf("registry %s denies access to %s, or there is no such repository", host, repo)
	case s.has(codeNameUnknown):
		return "check the name for typing errors", fmt.Errorf("registry %s has no repository %s", ref.Domain, repo)
	case op == "pull" && (s.has(codeManifestUnknown) || s.Status == http.StatusNotFound):
		return "check the tag for typing errors, or see which tags the registry has", fmt.Errorf("%s has no %s", repo, what)
	case s.Status == http.StatusTooManyRequests:
		return "log in for a higher limit, use a mirror, or try later", fmt.Errorf("registry %s limits the rate of requests and says no for now", ref.Domain)
	case s.Status == http.StatusMethodNotAllowed && op == "push":
		return "push to another registry: this one may be a cache", fmt.Errorf("registry %s takes no pushes", ref.Domain)
	case s.Status >= 500:
		return "try again later", fmt.Errorf("registry %s has an error of its own (%d %s)", ref.Domain, s.Status, http.StatusText(s.Status))
	}
	return "", s
}
