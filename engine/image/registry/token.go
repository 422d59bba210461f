package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// token is an access token of the token authentication specification.
type token struct {
	value string
	until time.Time
}

// token gets an access token for scopes, or gives one that is still good.
func (s *session) token(ctx context.Context, asks challenge, scopes []string) (string, error) {
	if s.auth.RegistryToken != "" {
		return s.auth.RegistryToken, nil
	}
	key := s.tokenKey(scopes)
	s.asking.Lock()
	defer s.asking.Unlock()
	if t, ok := s.tokens[key]; ok && time.Now().Before(t.until) {
		return t.value, nil
	}
	t, err := s.newToken(ctx, asks, scopes)
	if err != nil {
		return "", err
	}
	if s.tokens == nil {
		s.tokens = map[string]token{}
	}
	s.tokens[key] = t
	return t.value, nil
}

func (s *session) newToken(ctx context.Context, asks challenge, scopes []string) (token, error) {
	req, err := s.tokenRequest(ctx, asks, scopes)
	if err != nil {
		return token{}, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return token{}, unwrapURL(err)
	}
	defer drain(resp)
	if err := check(resp, http.StatusOK); err != nil {
		return token{}, err
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"` // seconds
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(b, &answer)
	}
	if err != nil {
		return token{}, fmt.Errorf("read answer of %s: %w", req.URL.Host, err)
	}
	if answer.Token == "" {
		answer.Token = answer.AccessToken
	}
	if answer.Token == "" {
		return token{}, fmt.Errorf("%s gave no token", req.URL.Host)
	}
	life := time.Duration(max(answer.ExpiresIn, 60)) * time.Second
	return token{value: answer.Token, until: time.Now().Add(life * 9 / 10)}, nil
}

func (s *session) tokenRequest(ctx context.Context, asks challenge, scopes []string) (*http.Request, error) {
	realm, err := url.Parse(asks.params["realm"])
	if err != nil || realm.Host == "" {
		return nil, fmt.Errorf("registry %s names no place for tokens", s.name)
	}
	if realm.Scheme != "https" && s.scheme == "https" && !s.insecure && !loopback(realm.Host) {
		return nil, fmt.Errorf("registry %s wants credentials sent in clear to %s", s.name, realm.Host)
	}
	if s.auth.IdentityToken != "" {
		form := url.Values{
			"grant_type": {"refresh_token"}, "service": {asks.params["service"]}, "client_id": {"devstack"},
			"refresh_token": {s.auth.IdentityToken}, "scope": {strings.Join(scopes, " ")},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	q := realm.Query()
	if service := asks.params["service"]; service != "" {
		q.Set("service", service)
	}
	for _, scope := range scopes {
		q.Add("scope", scope)
	}
	if s.auth.Username != "" {
		q.Set("account", s.auth.Username)
	}
	realm.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err == nil && (s.auth.Username != "" || s.auth.Password != "") {
		req.SetBasicAuth(s.auth.Username, s.auth.Password)
	}
	return req, err
}
