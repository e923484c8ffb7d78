package example;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;

public final class Verify {
  private static final Pattern BEARER = Pattern.compile("(?i)bearer +([\\w~+/.-]+=*)");

  private static String setting(String name, String otherwise) {
    return System.getenv().getOrDefault(name, otherwise);
  }

  private static DefaultJWTProcessor<SecurityContext> processor(String issuer, String audience)
      throws Exception {
    // Keeps the keys for the issuer's max-age, fetches them ahead of its end and, while the issuer is away, keeps them for an
    // hour; an unknown kid causes one fetch per 10 s at most.
    var keys =
        JWKSourceBuilder.create(URI.create(issuer + "/jwks").toURL())
            .cache(300_000, 5_000)
            .rateLimited(10_000)
            .outageTolerant(3_600_000)
            .build();
    var claims =
        new DefaultJWTClaimsVerifier<SecurityContext>(
            audience,
            new JWTClaimsSet.Builder().issuer(issuer).build(),
            Set.of("sub", "client_id", "iat", "exp", "jti"));
    claims.setMaxClockSkew(30);
    var processor = new DefaultJWTProcessor<SecurityContext>();
    processor.setJWSTypeVerifier(
        new DefaultJOSEObjectTypeVerifier<>(
            new JOSEObjectType("at+jwt"), new JOSEObjectType("application/at+jwt")));
    var selector = new JWSVerificationKeySelector<SecurityContext>(JWSAlgorithm.RS256, keys);
    processor.setJWSKeySelector(
        (header, context) ->
            header.getKeyID() == null ? List.of() : selector.selectJWSKeys(header, context));
    processor.setJWTClaimsSetVerifier(claims);
    return processor;
  }

  private record Result(int status, String subject) {}

  private static Result verify(
      DefaultJWTProcessor<SecurityContext> processor, String authorization, String scope) {
    var bearer = BEARER.matcher(authorization == null ? "" : authorization);
    if (!bearer.matches()) return new Result(401, null);
    try {
      var claims = processor.process(bearer.group(1), null);
      // A token that is bound to its sender is no good as a bearer token.
      if (claims.getClaim("cnf") != null) return new Result(401, null);
      var scopes = claims.getStringClaim("scope");
      var isAllowed = scopes != null && Arrays.asList(scopes.split(" ")).contains(scope);
      return new Result(isAllowed ? 200 : 403, claims.getSubject());
    } catch (RateLimitReachedException unknownKid) {
      return new Result(401, null);
    } catch (KeySourceException unreachable) {
      return new Result(503, null); // Says nothing about the token.
    } catch (Exception refused) {
      return new Result(401, null);
    }
  }

  public static void main(String[] args) throws Exception {
    var scope = setting("SCOPE", "ocr_api_access");
    var processor =
        processor(
            setting("ISSUER", "http://localhost:9000"),
            setting("AUDIENCE", "http://localhost:8080"));
    var port = Integer.parseInt(setting("PORT", "8090"));
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext(
        "/",
        exchange -> {
          var result =
              verify(processor, exchange.getRequestHeaders().getFirst("Authorization"), scope);
          if (result.status() == 401) {
            exchange.getResponseHeaders().set("WWW-Authenticate", "Bearer");
          }
          var answer = result.status() == 200 ? "hello " + result.subject() + "\n" : "";
          var bytes = answer.getBytes("UTF-8");
          exchange.sendResponseHeaders(result.status(), bytes.length == 0 ? -1 : bytes.length);
          try (var body = exchange.getResponseBody()) {
            body.write(bytes);
          }
        });
    server.start();
  }
}
