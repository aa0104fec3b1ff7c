package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.itimer_entry;
import io.gantry.checkpoint.image.posix_timer_entry;
import io.gantry.checkpoint.image.task_timers_entry;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.PosixTimers;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntUnaryOperator;

/**
 * Interval timers ({@code setitimer(2)}) and POSIX timers ({@code timer_create(2)}), with the time that was left. A POSIX timer gets its old id by
 * {@code PR_TIMER_CREATE_RESTORE_IDS}, which Linux has since 6.15.
 */
final class TimerState {
  static final int PR_TIMER_CREATE_RESTORE_IDS = 77;
  private static final int RESTORE_IDS_OFF = 0;
  private static final int RESTORE_IDS_ON = 1;
  /** struct itimerval and struct itimerspec: interval, then value. */
  private static final int TIMER_VALUE_BYTES = 32;
  /** {@code struct sigevent} ({@code asm-generic/siginfo.h}). */
  private static final int SIGEVENT_BYTES = 64;
  private static final int SIGEV_THREAD_ID = 4;
  private static final int TIMERS_AT_ONCE = 20;

  private TimerState() {}

  /** Adds the questions about interval timers; {@link #itimers} reads the answers. */
  static long askItimers(CallBatch batch) {
    long at = batch.reserve(3 * TIMER_VALUE_BYTES);
    for (int which = 0; which < 3; which++) {
      batch.call("getitimer", SyscallNumber.GETITIMER, which, at + (long) which * TIMER_VALUE_BYTES);
    }
    return at;
  }

  static task_timers_entry.Builder itimers(CallBatch batch, long at) {
    var in = ThreadStateCapture.littleEndian(batch.read(at, 3 * TIMER_VALUE_BYTES));
    var entries = new ArrayList<itimer_entry>();
    for (int which = 0; which < 3; which++) {
      entries.add(
          itimer_entry.newBuilder()
              .setIsec(in.getLong())
              .setIusec(in.getLong())
              .setVsec(in.getLong())
              .setVusec(in.getLong())
              .build());
    }
    return task_timers_entry.newBuilder().setReal(entries.get(0)).setVirt(entries.get(1)).setProf(entries.get(2));
  }

  /** @param tidInside the container's number of one of our thread ids */
  static List<posix_timer_entry> posixTimers(RemoteTask leader, IntUnaryOperator tidInside) throws NoSuchFileException {
    // The kernel lists the newest first.
    var timers = PosixTimers.of(leader.pid()).stream().sorted(Comparator.comparingInt(PosixTimers.Timer::id)).toList();
    var entries = new ArrayList<posix_timer_entry>();
    for (int from = 0; from < timers.size(); from += TIMERS_AT_ONCE) {
      var some = timers.subList(from, Math.min(timers.size(), from + TIMERS_AT_ONCE));
      var batch = leader.newBatch();
      long values = batch.reserve(some.size() * TIMER_VALUE_BYTES);
      var overruns = new ArrayList<CallBatch.Call>();
      for (int i = 0; i < some.size(); i++) {
        batch.call("timer_gettime", SyscallNumber.TIMER_GETTIME, some.get(i).id(), values + (long) i * TIMER_VALUE_BYTES);
        overruns.add(batch.attempt("timer_getoverrun", SyscallNumber.TIMER_GETOVERRUN, some.get(i).id()));
      }
      leader.run(batch);
      var in = ThreadStateCapture.littleEndian(batch.read(values, some.size() * TIMER_VALUE_BYTES));
      for (int i = 0; i < some.size(); i++) {
        var timer = some.get(i);
        var entry =
            posix_timer_entry.newBuilder()
                .setItId(timer.id())
                .setClockId(timer.clock())
                .setSiSigno(timer.signal())
                .setItSigevNotify(timer.notification())
                .setSivalPtr(timer.value())
                .setOverrun((int) Math.max(0, overruns.get(i).result()))
                .setIsec(in.getLong())
                .setInsec(in.getLong())
                .setVsec(in.getLong())
                .setVnsec(in.getLong());
        if ((timer.notification() & SIGEV_THREAD_ID) != 0) {
          entry.setNotifyThreadId(tidInside.applyAsInt(timer.target()));
        }
        entries.add(entry.build());
      }
    }
    return entries;
  }

  /** Adds what creates and starts all timers. */
  static void restore(RemoteTask leader, task_timers_entry timers) {
    var batch = leader.newBatch();
    int which = 0;
    for (itimer_entry timer : List.of(timers.getReal(), timers.getVirt(), timers.getProf())) {
      if (timer.getVsec() != 0 || timer.getVusec() != 0) {
        long value = batch.bytes(value(timer.getIsec(), timer.getIusec(), timer.getVsec(), timer.getVusec()));
        batch.call("setitimer", SyscallNumber.SETITIMER, which, value, 0);
      }
      which++;
    }
    if (batch.size() > 0) {
      leader.run(batch);
    }
    if (timers.getPosixCount() == 0) {
      return;
    }
    long answer =
        attempt(leader, "prctl(PR_TIMER_CREATE_RESTORE_IDS)", PR_TIMER_CREATE_RESTORE_IDS, RESTORE_IDS_ON);
    if (answer < 0) {
      throw new CheckpointException(
          "process "
              + leader.pid()
              + " has POSIX timers, whose ids this kernel cannot restore (PR_TIMER_CREATE_RESTORE_IDS, Linux 6.15)");
    }
    for (int from = 0; from < timers.getPosixCount(); from += TIMERS_AT_ONCE) {
      var some = timers.getPosixList().subList(from, Math.min(timers.getPosixCount(), from + TIMERS_AT_ONCE));
      var creating = leader.newBatch();
      some.forEach(timer -> create(creating, timer));
      leader.run(creating);
    }
    attempt(leader, "prctl(PR_TIMER_CREATE_RESTORE_IDS)", PR_TIMER_CREATE_RESTORE_IDS, RESTORE_IDS_OFF);
  }

  private static void create(CallBatch batch, posix_timer_entry timer) {
    var event =
        ByteBuffer.allocate(SIGEVENT_BYTES)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(timer.getSivalPtr())
            .putInt(timer.getSiSigno())
            .putInt(timer.getItSigevNotify())
            .putInt(timer.getNotifyThreadId());
    long id = batch.bytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(timer.getItId()).array());
    batch.call("timer_create", SyscallNumber.TIMER_CREATE, timer.getClockId(), batch.bytes(event.array()), id);
    if (timer.getVsec() != 0 || timer.getVnsec() != 0) {
      long value = batch.bytes(value(timer.getIsec(), timer.getInsec(), timer.getVsec(), timer.getVnsec()));
      batch.call("timer_settime", SyscallNumber.TIMER_SETTIME, timer.getItId(), 0, value, 0);
    }
  }

  private static long attempt(RemoteTask leader, String what, long... arguments) {
    var batch = leader.newBatch();
    var call = batch.attempt(what, SyscallNumber.PRCTL, arguments);
    leader.run(batch);
    return call.result();
  }

  private static byte[] value(long... fields) {
    var out = ByteBuffer.allocate(TIMER_VALUE_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (long field : fields) {
      out.putLong(field);
    }
    return out.array();
  }
}
