package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.TextFormat;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.interrupted_call_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.siginfo_entry;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import io.gantry.checkpoint.testing.StubHost;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.Stub;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** State of real processes in real stubs. Needs root. */
@Timeout(60)
class StubStateTest {
  private static final int RUNS_BESIDE_THREADS = 8;
  private static final Duration LIMIT = Duration.ofSeconds(20);
  private static final long LEFT_NS = 300_000_000;

  @RegisterExtension final StubHost box = new StubHost();

  private static byte[] canonical(process_state state) {
    return StateDigest.canonical(final_state.newBuilder().addProcesses(state).build());
  }

  /** The state of the program that has everything, with so many threads besides its first. */
  private process_state captured(int threads) {
    try (var workload = Workload.start("state", "full", Integer.toString(threads))) {
      Pausing.await(workload, LIMIT);
      return box.tracer().call(
          () -> {
            long now = System.nanoTime();
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              return StubbedState.renumbered(StateCapture.capture(tree, now).getProcesses(0));
            }
          },
          LIMIT);
    }
  }

  @Test
  void captureOfTheStubEqualsTheCaptureOfTheProgram() {
    process_state captured = captured(30);
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var threads = StubbedState.startThreads(tree.root(), captured);
            var arrival = new ProcessStateArrival(captured, threads);
            int before = tree.root().runs();
            arrival.recreate();
            // Each run costs two changes of context within the pause. Beside two for the process: timers, signals, and filters, which few programs have.
            assertThat(tree.root().runs() - before).as("times that calls were run").isBetween(threads.size(), threads.size() + RUNS_BESIDE_THREADS);
            arrival.rearmCalls();
            arrival.armAndSetRegisters();
            var recaptured = StubbedState.recapture(threads);
            assertThat(TextFormat.printer().printToString(StateDigest.canonical(recaptured)))
                .isEqualTo(TextFormat.printer().printToString(StateDigest.canonical(captured)));
            assertThat(canonical(recaptured)).isEqualTo(canonical(captured));
          }
        },
        LIMIT);
  }

  /**
   * A SIGSTOP makes the kernel go through all threads of the process, which for thousands of them takes the square of their number; where the other signal is
   * pending itself, it has to be that all the same.
   */
  @Test
  void threadsSayThatTheyAreDoneByASignalForWhichTheKernelLooksAtNobodyElse() {
    process_state captured = captured(4);
    byte[] info = new byte[Ptrace.SIGINFO_BYTES];
    // siginfo_t: si_signo, si_errno, si_code (SI_TKILL), then who sent it.
    ByteBuffer.wrap(info).order(ByteOrder.LITTLE_ENDIAN).putInt(0, Signals.SIGWINCH).putInt(8, -6).putInt(16, 1);
    var changed = captured.toBuilder();
    var entry = siginfo_entry.newBuilder().setSiginfo(ByteString.copyFrom(info));
    for (var thread : changed.getThreadsBuilderList()) {
      thread.getThreadCoreBuilder().setBlkSigset(-1);
    }
    changed.getThreadsBuilder(0).getTcBuilder().getSignalsSBuilder().addSignals(entry);
    changed.getThreadsBuilder(2).getThreadCoreBuilder().getSignalsPBuilder().addSignals(entry);
    var wanted = changed.build();
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var threads = StubbedState.startThreads(tree.root(), wanted);
            new ProcessStateArrival(wanted, threads).recreate();
            for (int i = 1; i < threads.size(); i++) {
              int tid = threads.get(i).tid();
              int stop = ByteBuffer.wrap(Ptrace.signalInfo(tid)).order(ByteOrder.LITTLE_ENDIAN).getInt(0);
              assertThat(stop).as("signal of thread " + i).isEqualTo(i == 2 ? Signals.SIGSTOP : Signals.SIGWINCH);
              assertThat(Ptrace.signalMask(tid)).as("blocked").isEqualTo(~(Signals.bit(Signals.SIGKILL) | Signals.bit(Signals.SIGSTOP)));
              assertThat(Ptrace.pendingSignals(tid, false)).hasSize(wanted.getThreads(i).getThreadCore().getSignalsP().getSignalsCount());
            }
            assertThat(Ptrace.pendingSignals(tree.root().tid(), true)).hasSize(wanted.getThreads(0).getTc().getSignalsS().getSignalsCount());
          }
        },
        LIMIT);
  }

  @Test
  void threadsOfSeveralProcessesArePutBackIntoTheirCallsTogether() {
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var stubs = new ArrayList<Stub>(List.of(tree.root()));
            for (int pid = 20; pid < 30; pid++) {
              stubs.add(tree.fork(tree.root(), pid));
            }
            var calls = List.of("nanosleep", "clock_nanosleep", "poll", "futex");
            var all = new ArrayList<CallRearming.Waiting>();
            var before = new ArrayList<byte[]>();
            long at = tree.root().benchStart() + tree.root().benchBytes() - 4096;
            for (int i = 0; i < stubs.size(); i++) {
              var waiting = waiting(stubs.get(i), calls.get(i % calls.size()), at);
              var entry =
                  interrupted_call_entry.newBuilder().setNumber((int) waiting.registers()[RegisterSet.ORIG_AX]).setNanosecondsLeft(60_000_000_000L).build();
              before.add(ProcessVm.read(stubs.get(i).pid(), at, 128));
              all.add(new CallRearming.Waiting(stubs.get(i), entry, waiting.registers()));
            }
            var outcomes = CallRearming.rearm(all);
            for (int i = 0; i < stubs.size(); i++) {
              assertThat(outcomes.get(i)).isEqualTo(all.get(i).registers());
              assertThat(Ptrace.registers(stubs.get(i).tid())[RegisterSet.AX]).isEqualTo(InterruptedCall.RESTART_BLOCK);
              assertThat(Ptrace.registers(stubs.get(i).tid())[RegisterSet.ORIG_AX]).isEqualTo(all.get(i).call().getNumber());
              assertThat(ProcessVm.read(stubs.get(i).pid(), at, 128)).as("the program's memory").isEqualTo(before.get(i));
            }
          }
        },
        LIMIT);
  }

  /** {@code exit_group(al)}: the status says how the wait ended. */
  private static final byte[] EXIT_WITH_RESULT = {
    // syscall (already made); mov %eax, %edi; mov $231, %eax; syscall
    0x0f, 0x05, (byte) 0x89, (byte) 0xc7, (byte) 0xb8, (byte) 0xe7, 0, 0, 0, 0x0f, 0x05
  };

  private record Waiting(long[] registers, int exitStatus) {}

  /** Registers of a program that waits for a hundred seconds in {@code call}, its code and data at {@code at}. */
  private static Waiting waiting(Stub stub, String call, long at) {
    long timespec = at + 64;
    long word = at + 96;
    byte[] memory = new byte[128];
    System.arraycopy(EXIT_WITH_RESULT, 0, memory, 0, EXIT_WITH_RESULT.length);
    ByteBuffer.wrap(memory).order(ByteOrder.LITTLE_ENDIAN).putLong(64, 100).putInt(96, 7);
    ProcessVm.write(stub.pid(), at, memory, memory.length);
    long[] registers = Ptrace.registers(stub.tid());
    registers[RegisterSet.IP] = at + 2;
    registers[RegisterSet.AX] = InterruptedCall.RESTART_BLOCK;
    int expected = 0;
    switch (call) {
      case "nanosleep" -> set(registers, SyscallNumber.NANOSLEEP, timespec, timespec);
      case "clock_nanosleep" -> set(registers, SyscallNumber.CLOCK_NANOSLEEP, 1, 0, timespec, 0);
      case "poll" -> set(registers, SyscallNumber.POLL, 0, 0, 100_000);
      case "futex" -> {
        set(registers, SyscallNumber.FUTEX, word, 128, 7, timespec);
        expected = -110 & 0xff; // ETIMEDOUT
      }
      default -> throw new AssertionError(call);
    }
    return new Waiting(registers, expected);
  }

  private static void set(long[] registers, int number, long... arguments) {
    registers[RegisterSet.ORIG_AX] = number;
    int[] places = {RegisterSet.DI, RegisterSet.SI, RegisterSet.DX, RegisterSet.R10};
    for (int i = 0; i < arguments.length; i++) {
      registers[places[i]] = arguments[i];
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"nanosleep", "clock_nanosleep", "poll", "futex"})
  void waitEndsWhenTheTimeThatWasLeftIsOver(String call) {
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var stub = tree.root();
            // Above what batches use.
            long at = stub.benchStart() + stub.benchBytes() - 4096;
            var waiting = waiting(stub, call, at);
            var entry =
                interrupted_call_entry.newBuilder()
                    .setNumber((int) waiting.registers()[RegisterSet.ORIG_AX])
                    .setNanosecondsLeft(LEFT_NS)
                    .build();
            byte[] before = ProcessVm.read(stub.pid(), at, 128);
            long begin = System.nanoTime();
            long[] registers = CallRearming.rearm(stub, entry, waiting.registers());
            assertThat(ProcessVm.read(stub.pid(), at, 128)).as("the program's memory").isEqualTo(before);
            assertThat(registers).isEqualTo(waiting.registers());
            Ptrace.setRegisters(stub.tid(), registers);
            tree.release();
            Awaitility.await().atMost(LIMIT).pollInterval(Duration.ofMillis(1)).until(() -> Wait.exitStatus(stub.pid(), false) != Wait.NOTHING);
            long tookNs = System.nanoTime() - begin;
            assertThat(Wait.exitStatus(stub.pid(), true)).isEqualTo(waiting.exitStatus());
            assertThat(tookNs).isBetween(LEFT_NS, LEFT_NS + 5_000_000_000L);
          }
        },
        LIMIT);
  }

  @Test
  void waitThatIsOverAtOnceIsMadeAgain() {
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var stub = tree.root();
            long at = stub.benchStart() + stub.benchBytes() - 4096;
            var waiting = waiting(stub, "futex", at);
            // The word has changed meanwhile, so the call would answer EAGAIN.
            ProcessVm.write(stub.pid(), at + 96, new byte[] {8, 0, 0, 0}, 4);
            var entry = interrupted_call_entry.newBuilder().setNumber(SyscallNumber.FUTEX).setNanosecondsLeft(LEFT_NS).build();
            long[] registers = CallRearming.rearm(stub, entry, waiting.registers());
            assertThat(registers[RegisterSet.AX]).isEqualTo(SyscallNumber.FUTEX);
            assertThat(registers[RegisterSet.IP]).isEqualTo(at);
          }
        },
        LIMIT);
  }
}
