package io.gantry.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.node.ExitCode;
import io.gantry.node.daemon.JavaProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code gantry resolve} on a real terminal. */
class ResolvePromptTest {
  /** Runs the command on a terminal, types one line when the question has come, prints all and ends with the command's status. */
  private static final String ON_A_TERMINAL =
      """
      import os, pty, signal, sys
      signal.alarm(60)
      pid, terminal = pty.fork()
      if pid == 0:
          os.environ['TERM'] = 'xterm'
          os.execv(sys.argv[2], sys.argv[2:])
      seen = b''
      asked = False
      while True:
          try:
              piece = os.read(terminal, 4096)
          except OSError:
              break
          if not piece:
              break
          seen += piece
          if not asked and b'[yes/no]' in seen:
              asked = True
              os.write(terminal, sys.argv[1].encode() + b'\\n')
      sys.stdout.buffer.write(seen)
      sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
      """;

  @TempDir Path empty;

  private record Ended(int status, String seen) {}

  private Ended answered(String typed) throws IOException, InterruptedException {
    var command = new ArrayList<>(List.of("/usr/bin/python3", "-c", ON_A_TERMINAL, typed));
    command.addAll(List.of(JavaProcess.java().toString(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"));
    command.addAll(List.of("-Dgantry.home=" + JavaProcess.home(), "-cp", JavaProcess.classPath(), "io.gantry.node.Main"));
    command.addAll(List.of("resolve", "web", "--host-is-off", "beta", "--state-dir", empty.toString()));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String seen = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(70, TimeUnit.SECONDS)).isTrue();
    return new Ended(process.exitValue(), seen);
  }

  @Test
  void itAsksAndWithoutAYesNothingIsChanged() throws Exception {
    for (String typed : new String[] {"no", "", "y"}) {
      Ended ended = answered(typed);
      assertThat(ended.seen())
          .contains("If the host of node beta is not off, web may run twice", "[yes/no]", "It was not confirmed");
      assertThat(ended.status()).isEqualTo(ExitCode.CONFLICT.status());
    }
  }

  @Test
  void aYesIsPassedOn() throws Exception {
    Ended ended = answered("yes");
    assertThat(ended.seen()).contains("[yes/no]", "No node answers");
    assertThat(ended.status()).isEqualTo(ExitCode.UNREACHABLE.status());
  }
}
