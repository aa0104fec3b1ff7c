package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedThread;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Needs root. */
class KeyringsTest {
  private static final Duration LIMIT = Duration.ofSeconds(30);

  private static void look(String what, java.util.function.Consumer<StoppedThread> look) {
    try (var workload = Workload.start("obstacle", what)) {
      workload.awaitLine("ready", LIMIT);
      try (var thread = StoppedThread.stopOne(workload.pid(), LIMIT)) {
        look.accept(thread);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"none", "session-empty"})
  void whoHasNoKeysCanBeCarried(String what) {
    look(what, thread -> assertThatCode(() -> Keyrings.requireCarriable(thread)).doesNotThrowAnyException());
  }

  @ParameterizedTest
  @CsvSource({"session-key, session, _ses", "named-session, session, _ses.gantry-test", "process-key, process, _pid", "thread-key, thread, _tid"})
  void keyIsFound(String what, String whose, String name) {
    look(
        what,
        thread ->
            assertThatThrownBy(() -> StateCapture.requireCarriable(thread))
                .isInstanceOf(CheckpointException.class)
                .hasMessage(
                    "process " + thread.pid() + " has a " + whose + " keyring (" + name
                        + ", man 7 keyrings) with a key of type user in it; keys cannot be carried, so remove it or keep such keys in files"));
  }

  @Test
  void namesOfSessionsAreToldFromOtherKeys() {
    String keys =
        """
        09ed5844 I------     1 perm 1f030000     0     0 keyring   .dns_resolver: empty
        1ecabd13 I--Q---     1 perm 1f3f0000     0 65534 keyring   _uid_ses.0: 1
        21b0edc9 I--Q---     4 perm 3f1b0000     0     0 keyring   _ses.one: empty
        21b0edca I--Q---     4 perm 3f1b0000     0     0 keyring   of: two words: 3
        21b0edcb I--Q---     4 perm 3f1b0000     0     0 keyring   _ses: 3
        2f0d5844 I--Q---     1 perm 1f030000     0     0 user      secret: 6
        """;
    assertThat(Keyrings.names(keys)).containsExactly("_ses.one", "of: two words");
  }
}
