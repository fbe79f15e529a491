import type { IdempotencyCode } from "../../../shared/idempotency.ts";
import type { Message } from "../../_kit/language.ts";
import type { EventCode } from "./en.ts";

/** What the parts say that every function is made of. */
type SharedCode =
  | "ACCOUNT_UNKNOWN"
  | "DATABASE_REFUSED"
  | "DATABASE_UNAVAILABLE"
  | "JSON_MALFORMED"
  | "METHOD_NOT_ALLOWED"
  | "REQUEST_INVALID"
  | "UNSUPPORTED_CONTENT_TYPE";

const plural = new Intl.PluralRules("ru");

function credits(count: number): string {
  const noun: Partial<Record<Intl.LDMLPluralRule, string>> = {
    one: "кредит",
    few: "кредита",
  };
  return `${count} ${noun[plural.select(count)] ?? "кредитов"}`;
}

function named(fields: unknown): string {
  const names = Array.isArray(fields) ? fields.filter(Boolean) : [];
  return names.length === 0 ? "" : ` Проверьте: ${names.join(", ")}.`;
}

/** What the function says in Russian. */
export const ru: Record<EventCode | IdempotencyCode | SharedCode, Message> = {
  CREDIT_CONFIRMATION_REQUIRED: {
    title: "Нужно подтвердить списание кредитов",
    detail: ({ cost, balance }) =>
      `Ваш тариф покрывает это не полностью: нужно ${
        credits(cost)
      }, у вас ${balance}. Чтобы продолжить, отправьте тот же запрос с тем же ключом и параметрами ?confirm_credit=1&max_cost=${cost}.`,
  },
  TOO_FEW_CREDITS: {
    title: "Недостаточно кредитов",
    detail: ({ cost, balance }) =>
      `Нужно ${
        credits(cost)
      }, у вас ${balance}. Пополните баланс и отправьте тот же запрос с тем же ключом.`,
  },
  EVENT_NOT_FOUND: {
    title: "Событие не найдено",
    detail: ({ eventId }) =>
      `У вас нет события ${eventId}. Проверьте идентификатор.`,
  },
  EVENT_ARCHIVED: {
    title: "Событие в архиве",
    detail: ({ eventId }) =>
      `Событие ${eventId} находится в архиве. Сначала восстановите его или запросите с параметром ?include_archived=true.`,
  },
  EVENT_CANCELLED: {
    title: "Событие отменено",
    detail: ({ eventId }) =>
      `Событие ${eventId} отменено, изменить его больше нельзя.`,
  },
  EVENT_CHANGED: {
    title: "Событие тем временем изменилось",
    detail: ({ version }) =>
      `Событие уже изменено. Прочитайте версию ${version} и отправьте изменения к ней с новым ключом.`,
  },
  ROUTE_NOT_FOUND: {
    title: "Адрес не найден",
    detail: ({ instance }) =>
      `По адресу ${instance} ничего нет. Проверьте путь.`,
  },
  ACCOUNT_UNKNOWN: {
    title: "Учётная запись неизвестна",
    detail: () =>
      "Эта функция — для пользователей Auth этого проекта, а ваш токен выдан не им. Войдите через него.",
  },
  DATABASE_REFUSED: {
    title: "База данных отклонила запрос",
    detail: () =>
      "База данных отклоняет этот запрос и отклонит его снова. Не повторяйте его, сообщите о нём администратору.",
  },
  DATABASE_UNAVAILABLE: {
    title: "База данных недоступна",
    detail: () =>
      "База данных не выполнила запрос. Отправьте тот же запрос ещё раз.",
  },
  JSON_MALFORMED: {
    title: "Некорректный JSON",
    detail: () =>
      "Тело запроса не является JSON в кодировке UTF-8. Проверьте кавычки, запятые и скобки.",
  },
  METHOD_NOT_ALLOWED: {
    title: "Метод не поддерживается",
    detail: () =>
      "Этот адрес не принимает такой метод. Допустимые методы указаны в заголовке Allow.",
  },
  REQUEST_INVALID: {
    title: "Некорректный запрос",
    detail: ({ fields }) => `Запрос составлен неверно.${named(fields)}`,
  },
  REQUEST_TOO_LARGE: {
    title: "Слишком большой запрос",
    detail: () => "Тело запроса больше, чем принимает этот адрес.",
  },
  REQUEST_BODY_INCOMPLETE: {
    title: "Неполное тело запроса",
    detail: () => "Тело запроса оборвалось. Отправьте тот же запрос ещё раз.",
  },
  REQUEST_BODY_CONSUMED: {
    title: "Тело запроса уже прочитано",
    detail: () =>
      "Сервер настроен неверно: тело запроса прочитано до проверки ключа. Сообщите администратору.",
  },
  UNSUPPORTED_CONTENT_TYPE: {
    title: "Неподдерживаемый тип содержимого",
    detail: () => "Отправьте application/json.",
  },
  IDEMPOTENCY_KEY_MISSING: {
    title: "Нет ключа идемпотентности",
    detail: () =>
      "Здесь нужен заголовок Idempotency-Key: новое значение для каждого нового действия и то же значение при повторе.",
  },
  IDEMPOTENCY_KEY_INVALID: {
    title: "Недопустимый ключ идемпотентности",
    detail: () =>
      "Ключ состоит из 3–256 латинских букв, цифр и знаков - и _ и отправляется в одном заголовке.",
  },
  IDEMPOTENCY_KEY_REUSED: {
    title: "Ключ уже использован",
    detail: () =>
      "Этот ключ использован для другого запроса. Для нового действия нужен новый ключ.",
  },
  REQUEST_IN_PROGRESS: {
    title: "Запрос выполняется",
    detail: () =>
      "Такой же запрос уже выполняется. Повторите его с тем же ключом чуть позже.",
  },
  OUTCOME_UNKNOWN: {
    title: "Результат неизвестен",
    detail: () =>
      "Первая попытка прервалась, и её результат неизвестен. Не начинайте заново, обратитесь к администратору.",
  },
  RESPONSE_NOT_STORED: {
    title: "Ответ не сохранён",
    detail: () =>
      "Запрос выполнен, но ответ был слишком велик, чтобы его сохранить.",
  },
  LEDGER_UNAVAILABLE: {
    title: "Журнал запросов недоступен",
    detail: () =>
      "Ключ сейчас нельзя проверить, поэтому ничего не сделано. Отправьте тот же запрос ещё раз.",
  },
  LEDGER_MISCONFIGURED: {
    title: "Журнал запросов настроен неверно",
    detail: () => "Повторять запрос бесполезно. Сообщите администратору.",
  },
  CALLER_UNKNOWN: {
    title: "Отправитель неизвестен",
    detail: () => "Войдите в систему и отправьте запрос снова.",
  },
  ACCOUNT_GONE: {
    title: "Учётная запись удалена",
    detail: () => "Войдите под другой учётной записью.",
  },
  KEY_TAKEN_OVER: {
    title: "Ключ перешёл к другой попытке",
    detail: () =>
      "Запрос выполняет другая попытка. Повторите его с тем же ключом, чтобы узнать результат.",
  },
  KEY_NOT_CLAIMED: {
    title: "Ключ не занят",
    detail: () =>
      "Ключ больше не принадлежит этой попытке. Повторите запрос с тем же ключом.",
  },
  TOO_MANY_KEYS: {
    title: "Слишком много ключей",
    detail: () =>
      "У вас слишком много действующих ключей. Повторите запрос позже.",
  },
};
