package io.gantry.node.daemon;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.encoder.PatternLayoutEncoder;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.ConsoleAppender;
import ch.qos.logback.core.OutputStreamAppender;
import ch.qos.logback.core.filter.Filter;
import ch.qos.logback.core.rolling.FixedWindowRollingPolicy;
import ch.qos.logback.core.rolling.RollingFileAppender;
import ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy;
import ch.qos.logback.core.spi.FilterReply;
import ch.qos.logback.core.util.FileSize;
import java.nio.file.Path;
import java.util.Optional;
import org.slf4j.LoggerFactory;

/** The node's log: changes of phase and what went wrong. At most four files of 8 MiB. */
final class Logging {
  private static final String PATTERN = "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5level [%thread] %logger{24} - %msg%n";
  private static final String FILE_BYTES_MAX = "8MB";
  private static final int OLD_FILES_MAX = 3;

  private Logging() {}

  /**
   * Replaces whatever was configured.
   *
   * @param file the log, or standard error when empty
   */
  static void configure(Optional<Path> file) {
    var context = (LoggerContext) LoggerFactory.getILoggerFactory();
    context.reset();
    var encoder = new PatternLayoutEncoder();
    encoder.setContext(context);
    encoder.setPattern(PATTERN);
    encoder.start();
    OutputStreamAppender<ILoggingEvent> appender = file.map(path -> rolling(context, path)).orElseGet(() -> console(context));
    appender.setEncoder(encoder);
    appender.addFilter(withoutRehearsal());
    appender.start();
    Logger root = context.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    root.setLevel(Level.INFO);
    root.addAppender(appender);
    context.getLogger("akka").setLevel(Level.WARN);
  }

  /** Nodes that live for seconds meet and part: of no interest to anybody, as long as nothing fails. */
  private static Filter<ILoggingEvent> withoutRehearsal() {
    return new Filter<>() {
      @Override
      public FilterReply decide(ILoggingEvent event) {
        boolean rehearsed = event.getThreadName().startsWith(Rehearsal.SYSTEM_NAME + "-");
        return rehearsed && !event.getLevel().isGreaterOrEqual(Level.ERROR) ? FilterReply.DENY : FilterReply.NEUTRAL;
      }
    };
  }

  private static OutputStreamAppender<ILoggingEvent> console(LoggerContext context) {
    var appender = new ConsoleAppender<ILoggingEvent>();
    appender.setContext(context);
    appender.setTarget("System.err");
    return appender;
  }

  private static OutputStreamAppender<ILoggingEvent> rolling(LoggerContext context, Path path) {
    var appender = new RollingFileAppender<ILoggingEvent>();
    appender.setContext(context);
    appender.setFile(path.toString());
    var window = new FixedWindowRollingPolicy();
    window.setContext(context);
    window.setParent(appender);
    window.setFileNamePattern(path + ".%i");
    window.setMaxIndex(OLD_FILES_MAX);
    window.start();
    var size = new SizeBasedTriggeringPolicy<ILoggingEvent>();
    size.setContext(context);
    size.setMaxFileSize(FileSize.valueOf(FILE_BYTES_MAX));
    size.start();
    appender.setRollingPolicy(window);
    appender.setTriggeringPolicy(size);
    return appender;
  }
}
