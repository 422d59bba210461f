package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"devstack/engine/image"
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
func Explain(ref image.Reference, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &image.Error{Ref: ref.Familiar(), Op: "pull", Err: err}
	var status *transport.Error
	var dns *net.DNSError
	var creds *CredentialsError
	var unknownCA x509.UnknownAuthorityError
	switch {
	case errors.As(err, &status):
		e.Hint, e.Err = explainStatus(ref, status)
	case errors.As(err, &dns):
		e.Err = fmt.Errorf("no such host %s", dns.Name)
		e.Hint = "check the registry's name, or that this machine is online; images that are in the store need no network with pull_policy: missing"
		if dns.IsTemporary || dns.IsTimeout {
			e.Err = fmt.Errorf("look up %s: no answer from the name server", dns.Name)
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Err = fmt.Errorf("registry %s refuses connections", ref.Domain)
		e.Hint = "is the registry running, and is the port right?"
	case errors.As(err, &unknownCA):
		e.Err = fmt.Errorf("registry %s has a certificate of an authority unknown here", ref.Domain)
		e.Hint = "add the authority's certificate to the system's, or to SSL_CERT_FILE"
	case errors.As(err, &creds):
		e.Hint = "see config.json in DOCKER_CONFIG (default ~/.docker) and the credential helper it names"
	case isTimeout(err):
		e.Err = fmt.Errorf("registry %s does not answer: %w", ref.Domain, err)
		e.Hint = "check the network and the proxy settings"
	default:
		return err
	}
	return e
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func explainStatus(ref image.Reference, s *transport.Error) (hint string, err error) {
	has := func(codes ...transport.ErrorCode) bool {
		for _, d := range s.Errors {
			for _, c := range codes {
				if d.Code == c {
					return true
				}
			}
		}
		return false
	}
	what := "tag " + ref.Tag
	if ref.Digest != "" {
		what = "digest " + string(ref.Digest)
	}
	repo := image.FamiliarRepository(ref.Repository())
	switch {
	case s.StatusCode == http.StatusUnauthorized, s.StatusCode == http.StatusForbidden, has(transport.UnauthorizedErrorCode, transport.DeniedErrorCode):
		return fmt.Sprintf("check the name; if it is private, log in to %s first (docker login, podman login)", ref.Domain), fmt.Errorf("registry %s denies access to %s, or there is no such repository", ref.Domain, repo)
	case has(transport.NameUnknownErrorCode):
		return "check the name for typing errors", fmt.Errorf("registry %s has no repository %s", ref.Domain, repo)
	case has(transport.ManifestUnknownErrorCode), s.StatusCode == http.StatusNotFound:
		return "check the tag for typing errors, or see which tags the registry has", fmt.Errorf("%s has no %s", repo, what)
	case s.StatusCode == http.StatusTooManyRequests:
		return "log in for a higher limit, use a mirror, or try later", fmt.Errorf("registry %s limits the rate of pulls and says no for now", ref.Domain)
	case s.StatusCode >= 500:
		return "try again later", fmt.Errorf("registry %s has an error of its own (%d %s)", ref.Domain, s.StatusCode, http.StatusText(s.StatusCode))
	}
	return "", s
}
