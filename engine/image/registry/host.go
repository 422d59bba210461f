package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"devstack/engine/image/registry/credentials"
)

// host is a registry as far as the client has come to know it.
type host struct {
	name     string // as in references: "docker.io"
	addr     string // where requests go: "registry-1.docker.io"
	insecure bool
	client   *http.Client // repeats, follows redirects
	find     func(ctx context.Context, registry, path string) (credentials.Auth, error)

	mu     sync.Mutex
	scheme string // "" before the handshake
	asks   challenge

	asking sync.Mutex       // held while a token is asked for: many requests need the same one
	tokens map[string]token // by scopes
}

// session is what requests for one repository have in common.
type session struct {
	*host
	path string
	auth credentials.Auth
	// missing is why there are no credentials although there should be.
	missing error
}

// session introduces the client to the registry if nobody has yet.
func (h *host) session(ctx context.Context, path string) (*session, error) {
	var missing error
	auth, err := h.find(ctx, h.name, path)
	if err != nil {
		err = &CredentialsError{Registry: h.name, Err: err}
		if absent := (*credentials.MissingHelperError)(nil); !errors.As(err, &absent) {
			return nil, err
		}
		missing = err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.scheme == "" {
		if err := h.handshake(ctx); err != nil {
			return nil, &hostError{h.name, err}
		}
	}
	return &session{host: h, path: path, auth: auth, missing: missing}, nil
}

// hostError says which registry it was: registries.conf may have led elsewhere
// than the reference says.
type hostError struct {
	host string
	err  error
}

func (e *hostError) Error() string { return e.err.Error() }
func (e *hostError) Unwrap() error { return e.err }

// handshake finds out whether the registry speaks TLS and what it asks for.
func (h *host) handshake(ctx context.Context) error {
	err := h.ping(ctx, "https")
	if err == nil || ctx.Err() != nil || !h.insecure && !loopback(h.addr) {
		return err
	}
	if plain := h.ping(ctx, "http"); plain == nil {
		return nil
	}
	return err
}

func (h *host) ping(ctx context.Context, scheme string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+h.addr+"/v2/", nil)
	if err != nil {
		return err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer drain(resp)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		// 403 and 404: some answer no but have repositories all the same.
		h.scheme, h.asks = scheme, challengeOf(resp.Header)
		return nil
	}
	return check(resp)
}

func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
}

func (s *session) url(kind, what string) string {
	u := url.URL{Scheme: s.scheme, Host: s.addr, Path: "/v2/" + s.path + "/" + kind + "/" + what}
	return u.String()
}

// Scopes of tokens.
func pullScope(path string) string { return "repository:" + path + ":pull" }
func pushScope(path string) string { return "repository:" + path + ":pull,push" }

// do sends a request with what the registry asks for. A refusal leads to one
// more attempt with a new token where the body can be sent again.
func (s *session) do(req *http.Request, scopes ...string) (*http.Response, error) {
	for try := 0; ; try++ {
		if req.URL.Host == s.addr { // uploads may lead elsewhere
			if err := s.authorize(req, scopes); err != nil {
				return nil, err
			}
		}
		resp, err := s.client.Do(req)
		if err != nil {
			return nil, unwrapURL(err)
		}
		if resp.StatusCode != http.StatusUnauthorized || resp.Request.URL.Host != s.addr {
			return resp, nil
		}
		again := s.refused(resp, scopes, req.Header.Get("Authorization"))
		if s.missing != nil && (try > 0 || !again) {
			drain(resp)
			return nil, s.missing
		}
		if !again || try > 0 || !rewind(req) {
			return resp, nil
		}
		drain(resp)
	}
}

// unwrapURL takes away the URL that net/http puts before errors: it may hold
// signatures, and the message names the registry anyway.
func unwrapURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

func rewind(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	if req.GetBody == nil {
		return false
	}
	body, err := req.GetBody()
	req.Body = body
	return err == nil
}

// refused learns from a 401 and says whether another attempt could help.
func (s *session) refused(resp *http.Response, scopes []string, used string) bool {
	asks := challengeOf(resp.Header)
	s.mu.Lock()
	changed := asks.scheme != "" && asks.scheme != s.asks.scheme
	if asks.scheme != "" {
		s.asks = asks
	}
	bearer := s.asks.scheme == "bearer"
	s.mu.Unlock()
	s.asking.Lock()
	defer s.asking.Unlock()
	key := s.tokenKey(scopes)
	if t, ok := s.tokens[key]; ok && used == "Bearer "+t.value { // others may have a newer one
		delete(s.tokens, key)
	}
	return changed || bearer
}

func (s *session) authorize(req *http.Request, scopes []string) error {
	s.mu.Lock()
	asks := s.asks
	s.mu.Unlock()
	switch asks.scheme {
	case "basic":
		if s.auth.Username != "" || s.auth.Password != "" {
			req.SetBasicAuth(s.auth.Username, s.auth.Password)
		}
	case "bearer":
		t, err := s.token(req.Context(), asks, scopes)
		if err != nil && s.missing != nil {
			return s.missing
		}
		if err != nil {
			return fmt.Errorf("get access token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+t)
	}
	return nil
}

func (s *session) tokenKey(scopes []string) string {
	return s.auth.Username + "\x00" + strings.Join(scopes, " ")
}
